//! The folder that a process keeps what is its own in: database, generated secrets, the local copy of the rights.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{clock::Clock, config::Config, seal::Keyring};

const MASTER_KEY: &str = "master.key";
const LOCK: &str = "lock";
const DATABASE: &str = "tidings.db";

/// The database of the folder at `path`.
pub fn database_in(path: &Path) -> PathBuf {
    path.join(DATABASE)
}

/// The generated master key of the folder at `path`.
pub(super) fn master_key_in(path: &Path) -> PathBuf {
    path.join(MASTER_KEY)
}

/// The folder, locked for as long as this lives.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is not there, readable by nobody else, and locks it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        let lock = path.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = file.with_context(|| format!("cannot open {}", lock.display()))?;
        if file.try_lock().is_err() {
            bail!("{} is in use by another process: every process needs a data_dir of its own", path.display());
        }
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The keys that an embedded installation made for itself here, if it did.
    pub fn local_keyring(&self) -> anyhow::Result<Option<Keyring>> {
        let path = self.path.join(MASTER_KEY);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Keyring::parse(&text).map(Some).with_context(|| path.display().to_string())
    }

    /// The master keys: those configured, else (embedded only) those made on the first start.
    pub fn keyring(&self, config: &Config, clock: &Clock) -> anyhow::Result<Keyring> {
        if let Some(key) = &config.secrets.master_key {
            return Keyring::parse(key.expose()).context("secrets.master_key");
        }
        if config.database.url.is_some() {
            bail!("secrets.master_key_file: with database.url set, every node needs the same master key: 32 random bytes in base64");
        }
        let path = self.path.join(MASTER_KEY);
        if !path.exists() {
            let mut file = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            writeln!(file, "{}", Keyring::line(&clock.random()))
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            File::open(&self.path)?.sync_all()?;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Keyring::parse(&text).with_context(|| path.display().to_string())
    }
}
