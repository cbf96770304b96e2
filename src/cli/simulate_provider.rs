//! `tidings simulate-provider`: a scriptable provider over HTTP.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;

use super::Global;
use crate::{
    clock::Clock,
    simulate_provider::{Behaviour, Listeners, Vendor},
};

const EXAMPLES: &str = r#"Examples:
  tidings simulate-provider --listen 127.0.0.1:9000
  tidings simulate-provider --listen 127.0.0.1:9000 --behaviour '{"latency_ms": 50, "error_share": 0.1}'

A provider of kind `http` with url = "http://127.0.0.1:9000/send" and message_id = "/id" submits to it. Control, on both
listeners (the second stays open while the first refuses connections):
  curl -X PATCH 127.0.0.1:9001/behaviour --json '{"hang_share": 1}'      change what is named, null: back to the default
  curl -X PUT   127.0.0.1:9001/behaviour --json '{}'                     everything back to the defaults
  curl 127.0.0.1:9001/behaviour                                          all there is to switch, as it is now
  curl 127.0.0.1:9001/figures                                            calls, open calls and their high water, answers
  curl 127.0.0.1:9001/processed                                          how often each message was processed
  curl 127.0.0.1:9001/cut                                                calls whose caller went away before the answer
  curl -X DELETE 127.0.0.1:9001/processed                                forget the counts

Behaviour: latency_ms and latency_p99_ms, tail_share and tail_ms, error_share with error_status and error_code,
throttle_per_s with retry_after_s, hang_share and hang_processed_share, reset_share (after processing), malformed_share,
cut_share, drop_share (accepts, reports nothing), refuse, and
receipts {to, delay_ms, delivered_share, intermediate, out_of_order, times, before_answer, forged_share}."#;

/// Run a scriptable provider over HTTP, for tests and demonstrations
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateProvider {
    /// Where to be called
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where to be controlled [default: the same host, the next port]
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// What to begin with, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    behaviour: serde_json::Value,
}

fn json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}

impl SimulateProvider {
    pub async fn run(self, _: &Global) -> anyhow::Result<()> {
        let behaviour = Behaviour::default().changed(&self.behaviour)?;
        // Port 0 asks for any port, for both.
        let next_port = if self.listen.port() == 0 { 0 } else { self.listen.port().wrapping_add(1) };
        let control = self.control.unwrap_or(SocketAddr::new(self.listen.ip(), next_port));
        let listeners = Listeners::bind(self.listen, control).await.context("cannot listen")?;
        let (called, controlled) = listeners.addresses()?;
        let vendor = Vendor::new(behaviour, u64::from_le_bytes(Clock::system().random())).context("no HTTP client for receipts")?;
        println!("simulated provider: http://{called}/send");
        println!("control:            http://{controlled}/behaviour");
        vendor.serve(listeners).await.context("the provider ended")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        command: SimulateProvider,
    }

    #[test]
    fn a_behaviour_is_read_as_json_and_none_is_the_default() {
        let behaviour = |arguments: &[&str]| {
            let parsed = Alone::try_parse_from(["tidings", "--listen", "127.0.0.1:0"].iter().chain(arguments)).unwrap();
            Behaviour::default().changed(&parsed.command.behaviour).unwrap()
        };
        assert_eq!(behaviour(&[]), Behaviour::default());
        assert_eq!(behaviour(&["--behaviour", "{\"latency_ms\": 50}"]).latency_ms, 50);
        assert!(Alone::try_parse_from(["tidings", "--listen", "127.0.0.1:0", "--behaviour", "{"]).is_err());
    }
}
