//! `tidings audit`: is the log what was written?

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Global;
use crate::assembly;

/// Verify the audit log
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings audit verify      exit 1, and the first entry that was touched, if any was")]
pub(super) struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Walk the chain from the first entry to the last
    Verify,
}

impl Audit {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let control = assembly::control(&global.load()?).await?;
        let What::Verify = self.what;
        match control.verify_audit().await? {
            Ok(entries) => println!("the audit log is whole: {entries} entries"),
            Err(broken) => bail!("the audit log was tampered with: {broken}"),
        }
        Ok(())
    }
}
