//! `tidings migrate`

use super::Global;
use crate::assembly;

/// Bring the schema (and missing Kafka topics) up to date, then exit
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidings migrate --config tidings.toml      before the nodes of a new version start
  TIDINGS__DATABASE__URL_FILE=/run/secrets/db tidings migrate")]
pub struct Migrate {}

impl Migrate {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        assembly::migrate(&global.load()?).await
    }
}
