//! What an operator's command works with: beside a running process, without taking its folder, its leases or its work.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{DataDir, data_dir};
use crate::{
    clock::Clock,
    config::Config,
    control::{Control, Options},
    retention::Retention,
    seal::Keyring,
    store::{
        Messages, Sqlite, SqliteControl,
        control::ControlStore,
        postgres::{Connections, PostgresControl, PostgresStore},
    },
    telemetry::Metrics,
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

/// The messages that the configuration names, to be read beside a running process.
pub async fn messages_to_read(config: &Config) -> anyhow::Result<Arc<dyn Messages>> {
    let (clock, keyring) = (Clock::system(), Arc::new(keyring(config)?));
    let Some(url) = &config.database.url else {
        let path = data_dir::database_in(&config.data_dir);
        let store = Sqlite::open_to_read(&path, keyring, clock).await.with_context(|| format!("cannot open {}", path.display()))?;
        return Ok(Arc::new(store));
    };
    let connections = Connections::new(url.expose()).context("database.url")?;
    Ok(Arc::new(PostgresStore::open(connections, keyring, clock).await.context("database.url")?))
}

/// Carries out what was ordered, if this is an embedded installation and no process runs that would.
pub async fn carry_out_here(config: &Config) -> anyhow::Result<()> {
    if config.database.url.is_some() {
        return Ok(());
    }
    let Ok(data_dir) = DataDir::open(&config.data_dir) else { return Ok(()) };
    let (clock, keyring) = (Clock::system(), Arc::new(keyring(config)?));
    let path = data_dir.database();
    let open = Sqlite::open(&path, keyring, clock, |_| {}).await;
    let (messages, writer) = open.with_context(|| format!("cannot open {}", path.display()))?;
    let control = Arc::new(control(config).await?);
    let retention = Retention::new(Arc::new(messages.clone()), Arc::clone(&control), config.retention, clock, Arc::new(Metrics::new()));
    for order in control.orders().context("an order cannot be opened")? {
        retention.carry_out(&order).await?;
    }
    drop(retention);
    messages.close(writer).await;
    Ok(())
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
