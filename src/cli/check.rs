//! `tidings check`: everything that is wrong with configuration and bootstrap file, at once.

use clap::Args;

use super::Global;
use crate::control::Bootstrap;

/// Read the configuration and the bootstrap file, print every error at once, exit 1 if there is any
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings check --config tidings.toml")]
pub(super) struct Check {}

impl Check {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.load()?;
        if let Some(file) = &config.bootstrap.file {
            Bootstrap::load(file)?;
        }
        println!("the configuration is sound");
        Ok(())
    }
}
