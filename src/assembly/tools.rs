//! The control plane for an operator's command: beside a running process, without taking its folder, its leases or its work.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::data_dir;
use crate::{
    clock::Clock,
    config::Config,
    control::{Control, Options},
    seal::Keyring,
    store::{
        SqliteControl,
        control::ControlStore,
        postgres::{Connections, PostgresControl},
    },
};

/// Opens the control plane that the configuration names. It must exist: a command makes no installation.
pub async fn control(config: &Config) -> anyhow::Result<Control> {
    let clock = Clock::system();
    let keyring = Arc::new(keyring(config)?);
    let store: Arc<dyn ControlStore> = match &config.database.url {
        Some(url) => Arc::new(PostgresControl::new(Connections::new(url.expose()).context("database.url")?)),
        None => {
            let path = data_dir::database_in(&config.data_dir);
            if !path.exists() {
                bail!("{} is not there: has this installation been started yet?", path.display());
            }
            Arc::new(SqliteControl::open(&path).await.with_context(|| format!("cannot open {}", path.display()))?)
        }
    };
    let options = Options {
        data_dir: config.data_dir.clone(),
        access_token: config.auth.access_token,
        refresh_token: config.auth.refresh_token,
        max_stale: config.auth.max_stale,
    };
    Control::open(store, keyring, clock, options).await.context("the control plane cannot be read")
}

fn keyring(config: &Config) -> anyhow::Result<Keyring> {
    if let Some(key) = &config.secrets.master_key {
        return Keyring::parse(key.expose()).context("secrets.master_key");
    }
    if config.database.url.is_some() {
        bail!("secrets.master_key_file: with database.url set, every command needs the installation's master key");
    }
    let path = data_dir::master_key_in(&config.data_dir);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Keyring::parse(&text).with_context(|| path.display().to_string())
}
