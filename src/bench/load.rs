//! The load: many connections that send prepared messages, as fast as they are answered or at a rate.
//!
//! At a rate, a latency counts from when the message was due, not from when its connection was free: an answer that comes
//! late must not hide the ones behind it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tidings_core::{redact::Secret, time::Moment};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use super::wire::Messages;
use crate::clock::Clock;

/// Latencies are kept from a microsecond to two minutes with three digits.
const MAX_US: u64 = 120_000_000;

/// Recipients are ten digits after the country code, the first of them this.
pub const FIRST_NUMBER: u64 = 1_000_000_000;

/// What to send, and how.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub key: Secret,
    /// JSON members of every message besides `to`: `"text": "…"`.
    pub members: String,
    pub messages: u64,
    pub connections: usize,
    /// Messages a second; `None`: as fast as they are answered.
    pub rate: Option<f64>,
    /// Messages in one request; 1: single sends.
    pub batch: usize,
    /// Recipients count from here, so that no two loads share one.
    pub first_recipient: u64,
    /// Every item of a batch has an idempotency key.
    pub keyed: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub accepted: u64,
    /// Messages of requests that were answered with anything else; the first such status.
    pub refused: u64,
    pub refused_status: Option<u16>,
    pub began: Moment,
    pub took: Duration,
    pub latency: Histogram<u64>,
}

impl Load {
    pub async fn run(&self, clock: Clock) -> anyhow::Result<Outcome> {
        let next = Arc::new(AtomicU64::new(0));
        // All are open before the first message is due: opening a thousand at once is not what is measured.
        let streams = try_join_all((0..self.connections).map(|_| TcpStream::connect(self.address)));
        let streams = streams.await.context("the instance cannot be reached")?;
        let began = clock.moment();
        let mut connections = JoinSet::new();
        for stream in streams {
            let (load, next) = (self.clone(), Arc::clone(&next));
            connections.spawn(async move { load.connection(stream, &next, began, clock).await });
        }
        let mut outcome = Outcome {
            accepted: 0,
            refused: 0,
            refused_status: None,
            began,
            took: Duration::ZERO,
            latency: Histogram::new_with_max(MAX_US, 3)?,
        };
        while let Some(ended) = connections.join_next().await {
            let one = ended.context("a connection of the load panicked")??;
            outcome.accepted += one.accepted;
            outcome.refused += one.refused;
            outcome.refused_status = outcome.refused_status.or(one.refused_status);
            outcome.latency.add(one.latency)?;
        }
        outcome.took = clock.moment().since(began);
        Ok(outcome)
    }

    async fn connection(&self, stream: TcpStream, next: &AtomicU64, began: Moment, clock: Clock) -> anyhow::Result<Outcome> {
        stream.set_nodelay(true)?;
        let mut answers = Messages::new(stream);
        let mut one = Outcome {
            accepted: 0,
            refused: 0,
            refused_status: None,
            began,
            took: Duration::ZERO,
            latency: Histogram::new_with_max(MAX_US, 3)?,
        };
        let mut request = Vec::new();
        loop {
            let first = next.fetch_add(self.batch as u64, Ordering::Relaxed);
            if first >= self.messages {
                return Ok(one);
            }
            let count = (self.messages - first).min(self.batch as u64);
            let due = match self.rate {
                Some(rate) => began + Duration::from_secs_f64(first as f64 / rate),
                None => clock.moment(),
            };
            if due > clock.moment() {
                tokio::time::sleep_until(clock.instant(due)).await;
            }
            self.write_request(&mut request, first, count);
            answers.stream().write_all(&request).await?;
            let Some(answer) = answers.next().await? else { bail!("the instance closed a connection") };
            let status = answer.status();
            one.latency.saturating_record(u64::try_from(clock.moment().since(due).as_micros()).unwrap_or(MAX_US));
            match (status, self.batch) {
                (202, 1) => one.accepted += 1,
                (200, 2..) if !contains(answer.body, b"\"error\"") => one.accepted += count,
                _ => {
                    one.refused += count;
                    one.refused_status.get_or_insert(status);
                }
            }
        }
    }

    fn write_request(&self, request: &mut Vec<u8>, first: u64, count: u64) {
        use std::io::Write;
        let mut body = Vec::with_capacity(256 * usize::try_from(count).unwrap_or(1));
        let message = |body: &mut Vec<u8>, number: u64| {
            let to = FIRST_NUMBER + (self.first_recipient + number) % 9_000_000_000;
            let key = if self.keyed { format!("\"idempotency_key\":\"load-{to}\",") } else { String::new() };
            let _ = write!(body, "{{\"to\":\"+49{to}\",{key}{}}}", self.members);
        };
        let path = if self.batch == 1 {
            message(&mut body, first);
            "/v1/messages"
        } else {
            body.extend_from_slice(b"{\"messages\":[");
            for number in first..first + count {
                if number > first {
                    body.push(b',');
                }
                message(&mut body, number);
            }
            body.extend_from_slice(b"]}");
            "/v1/messages/batch"
        };
        request.clear();
        let _ = write!(
            request,
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            self.key.expose(),
            body.len()
        );
        request.extend_from_slice(&body);
    }
}

fn contains(body: &[u8], what: &[u8]) -> bool {
    body.windows(what.len()).any(|window| window == what)
}
