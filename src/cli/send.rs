//! `tidings send`: one message from a shell.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::client::{Access, Client, print};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is closed: nothing more is expected to happen, except that a receipt may come.
const CLOSED: [&str; 6] = ["delivered", "undelivered", "failed", "expired", "cancelled", "unknown"];

/// Send one message
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("content").required(true).args(["template", "text"])))]
#[command(after_help = "Examples:
  tidings send --to +8613800138000 --template login-code --param code=482913 --wait
  tidings send --to +8613800138000 --text 'The server room is on fire' --reference alarm-7
  TIDINGS_URL=https://tidings.example tidings send --to ada@example.org --channel email --template welcome")]
pub(super) struct Send {
    #[command(flatten)]
    access: Access,
    /// E.164 number, or an address of the channel
    #[arg(long)]
    to: String,
    /// sms, voice, email, push or chat
    #[arg(long)]
    channel: Option<String>,
    /// Template, or template@version
    #[arg(long)]
    template: Option<String>,
    #[arg(long, requires = "template")]
    locale: Option<String>,
    /// Parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair, requires = "template")]
    params: Vec<(String, String)>,
    /// Text of your own, where the app may send it
    #[arg(long)]
    text: Option<String>,
    /// otp, transactional or marketing; of a text
    #[arg(long, requires = "text")]
    category: Option<String>,
    #[arg(long)]
    signature: Option<String>,
    /// RFC 3339 time
    #[arg(long)]
    send_at: Option<String>,
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u32>,
    /// Wait until somebody releases it
    #[arg(long)]
    hold: bool,
    /// Most that it may cost
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<String>,
    #[arg(long)]
    reference: Option<String>,
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait for its end; exit 1 unless it was submitted or delivered
    #[arg(long)]
    wait: bool,
    /// Longest wait, in seconds
    #[arg(long, default_value_t = 60, requires = "wait")]
    timeout: u64,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Send {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (body, key, wait) = (self.body(), self.idempotency_key, self.wait.then_some(Duration::from_secs(self.timeout)));
        let client = self.access.client()?;
        let sent = client.post("/v1/messages", &body, key.as_deref()).await?.done()?;
        let Some(patience) = wait else {
            print(&sent);
            return Ok(());
        };
        let id = sent["id"].as_str().context("the answer names no message")?;
        let message =
            tokio::time::timeout(patience, end_of(&client, id)).await.with_context(|| format!("{id} has not come to its end yet"))??;
        print(&message);
        match message["status"].as_str() {
            Some("delivered" | "submitted") => Ok(()),
            status => bail!("the message is {}", status.unwrap_or("in no status")),
        }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("to".to_owned(), self.to.clone().into());
        let texts = [
            ("channel", &self.channel),
            ("template", &self.template),
            ("locale", &self.locale),
            ("text", &self.text),
            ("category", &self.category),
            ("signature", &self.signature),
            ("send_at", &self.send_at),
            ("max_price", &self.max_price),
            ("reference", &self.reference),
        ];
        body.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))));
        body.extend(self.expires_in.map(|seconds| ("expires_in_s".to_owned(), seconds.into())));
        if !self.params.is_empty() {
            let params: Map<String, Value> = self.params.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            body.insert("params".to_owned(), params.into());
        }
        if self.hold {
            body.insert("hold".to_owned(), json!(true));
        }
        body.into()
    }
}

/// Looks until the message is closed. `submitted` is the end where the provider sends no receipts, which nobody tells us:
/// the caller's patience decides, so it is taken as one only after a while.
async fn end_of(client: &Client, id: &str) -> anyhow::Result<Value> {
    /// What most receipts need.
    const RECEIPT_WITHIN: usize = 40;
    let mut submitted = 0;
    loop {
        let message = client.get(&format!("/v1/messages/{id}"), &[]).await?.done()?;
        let status = message["status"].as_str().unwrap_or_default();
        submitted += usize::from(status == "submitted");
        if CLOSED.contains(&status) || submitted > RECEIPT_WITHIN {
            return Ok(message);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
