//! `tidings move`

use super::Global;
use crate::assembly;

/// Carry unfinished messages from data_dir into the database that the configuration names
#[derive(Debug, clap::Args)]
#[command(
    name = "move",
    after_help = "Examples:
  TIDINGS__DATABASE__URL=postgres://… tidings move      after `tidings serve` has ended, before it starts on PostgreSQL
  tidings move --config tidings.toml                    the same by file; twice is as good as once"
)]
pub struct Move {}

impl Move {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        let moved = assembly::move_up(&global.load()?).await?;
        println!("{} unfinished messages carried over", moved.unfinished);
        println!(
            "{} messages whose receipts may still come, {} idempotency keys, {} documents of the control plane",
            moved.expecting, moved.keys, moved.documents
        );
        Ok(())
    }
}
