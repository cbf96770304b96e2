//! `tidings recipient`: one recipient's data, for them to read, or gone.

use std::{io::Write as _, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use tidings_core::{message::Recipient, redact::Redacted};

use super::Global;
use crate::{
    assembly,
    clock::Clock,
    control::{Actor, Control, model::ActorId},
    retention::recipient,
};

/// A running process sees an order within a second and deletes within a few.
const LOOK: Duration = Duration::from_millis(200);

/// Show or delete everything that is kept about one recipient
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings recipient export --to +8613800138000 > data.json
  tidings recipient delete --to +8613800138000     messages, attempts, receipts and what leads to them
  tidings recipient delete --to ada@example.org --wait-s 600")]
pub(super) struct Recipients {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print it as JSON, texts included; written into the audit log
    Export {
        /// A number such as +8613800138000, or another channel's address
        #[arg(long)]
        to: String,
    },
    /// Order its deletion and wait until it is carried out
    Delete {
        /// A number such as +8613800138000, or another channel's address
        #[arg(long)]
        to: String,
        /// How long to wait for messages that are at a provider now; the order stays in force
        #[arg(long, default_value_t = 120, value_name = "SECONDS")]
        wait_s: u64,
    },
}

impl Recipients {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.load()?;
        let control = assembly::control(&config).await?;
        let actor = Actor::own(ActorId::command());
        match self.what {
            What::Export { to } => {
                let messages = assembly::messages_to_read(&config).await?;
                let data = recipient::export(&*messages, &control, &actor, &recipient_of(to)).await?;
                // Whoever reads may stop reading.
                drop(writeln!(std::io::stdout().lock(), "{data:#}"));
            }
            What::Delete { to, wait_s } => {
                let to = recipient_of(to);
                let order = control.order_erasure(&actor, &to).await?;
                assembly::carry_out_here(&config).await?;
                if !is_carried_out(&control, order, Duration::from_secs(wait_s)).await? {
                    bail!("ordered, and not complete yet: messages are under way, or no process runs; the order stays in force");
                }
                println!("deleted; the audit log says how many messages (action recipient.erased)");
            }
        }
        Ok(())
    }
}

fn recipient_of(to: String) -> Recipient {
    Redacted::new(to)
}

async fn is_carried_out(control: &Control, order: uuid::Uuid, most: Duration) -> anyhow::Result<bool> {
    let clock = Clock::system();
    let until = clock.moment() + most;
    loop {
        control.refresh().await?;
        if !control.snapshot().erasures().any(|kept| kept.id == order) {
            return Ok(true);
        }
        if clock.moment() >= until {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}
