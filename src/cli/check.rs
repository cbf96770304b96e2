//! `tidings check`: everything that is wrong with configuration and bootstrap file, at once.

use anyhow::bail;
use clap::Args;

use super::Global;
use crate::control::Bootstrap;

/// Read the configuration and the bootstrap file, print every error at once, exit 1 if there is any
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings check --config tidings.toml")]
pub(super) struct Check {}

impl Check {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let (config, faults) = global.read();
        let mut lines: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        // The bootstrap file is read even if other settings are wrong: one run shows the whole list.
        if let Some(file) = &config.bootstrap.file
            && let Err(faults) = Bootstrap::load(file)
        {
            lines.extend(faults.0.iter().map(|fault| format!("{}: {fault}", file.display())));
        }
        if lines.is_empty() {
            println!("the configuration is sound");
            return Ok(());
        }
        for line in &lines {
            eprintln!("{line}");
        }
        bail!("{} found", if lines.len() == 1 { "1 error".to_owned() } else { format!("{} errors", lines.len()) })
    }
}
