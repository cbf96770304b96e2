//! `tidings messages`: look up, list and cancel from a shell.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Access, print};

/// Look messages up, list them, cancel them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings messages get msg_01h455vb4pex5vsknk084sn02q
  tidings messages list --status failed --limit 20
  tidings messages list --filter to=+8613800138000 --filter from=2026-01-01T00:00:00Z
  tidings messages cancel --reference order-8812")]
pub(super) struct Messages {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a message with its attempts and its timeline
    #[command(after_help = "Example:\n  tidings messages get msg_01h455vb4pex5vsknk084sn02q")]
    Get {
        #[command(flatten)]
        access: Access,
        id: String,
    },
    /// List messages, newest first
    #[command(after_help = "Example:\n  tidings messages list --status failed --limit 20")]
    List {
        #[command(flatten)]
        access: Access,
        #[arg(long)]
        status: Option<String>,
        /// Any filter of the API (repeatable)
        #[arg(long = "filter", value_name = "NAME=VALUE")]
        filters: Vec<String>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Cancel one message, or all with a reference
    #[command(
        after_help = "Examples:\n  tidings messages cancel msg_01h455vb4pex5vsknk084sn02q\n  tidings messages cancel --reference order-8812"
    )]
    Cancel {
        #[command(flatten)]
        access: Access,
        #[arg(required_unless_present = "reference", conflicts_with = "reference")]
        id: Option<String>,
        #[arg(long)]
        reference: Option<String>,
    },
}

impl Messages {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let answer = match self.action {
            Action::Get { access, id } => access.client()?.get(&format!("/v1/messages/{id}"), &[]).await?,
            Action::List { access, status, filters, limit, cursor } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(status.map(|status| ("status", status)));
                query.extend(cursor.map(|cursor| ("cursor", cursor)));
                for filter in &filters {
                    let Some((name, value)) = filter.split_once('=') else { anyhow::bail!("write a filter as name=value") };
                    query.push((name, value.to_owned()));
                }
                access.client()?.get("/v1/messages", &query).await?
            }
            Action::Cancel { access, id, reference } => match (id, reference) {
                (Some(id), _) => access.client()?.post(&format!("/v1/messages/{id}/cancel"), &json!({}), None).await?,
                (None, reference) => access.client()?.post("/v1/messages/cancel", &json!({"reference": reference}), None).await?,
            },
        };
        print(&answer.done()?);
        Ok(())
    }
}
