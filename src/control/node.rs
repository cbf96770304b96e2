//! One node's hold on the control plane: the snapshot in force, how it is kept fresh, how changes are committed.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tidings_core::time::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    Error, POLL, Plan, Scene, Snapshot, audit::ChainKey, key_uses::KeyUses, local::LocalCopy, revocations::Revocation, snapshot::Unreadable,
};
use crate::{
    clock::Clock,
    seal::Keyring,
    shared::Shared,
    store::{
        self,
        control::{Commit, ControlStore, Document, Error as CommitError},
    },
};

/// How often a change is planned again because somebody else was faster.
pub(super) const MAX_PLANS: usize = 8;
/// A store that does not answer a small read within this is away.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// A commit waits behind the writer of messages; beyond this the store is away.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often last uses of keys are written down: what operators read is at most a minute old.
const KEY_USES_EVERY: Duration = Duration::from_secs(30);
/// An unknown token makes a node look for news at most this often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a node is given.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the sealed copy of the snapshot is kept.
    pub data_dir: PathBuf,
    pub access_token: Duration,
    pub refresh_token: Duration,
    /// How long last known rights are believed.
    pub max_stale: Duration,
}

/// Why a node cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store is away and there is no copy of the rights that is new enough")]
    Away(#[source] store::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the control plane cannot be set up")]
    SetUp(#[source] Error),
}

/// The control plane as one node holds it.
pub struct Control {
    pub(super) store: Arc<dyn ControlStore>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Clock,
    pub(super) options: Options,
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// One refresh at a time, and what the local copy is written from.
    documents: Mutex<LocalCopy>,
    /// When the store last answered, in milliseconds of the calendar.
    confirmed: AtomicI64,
    pub(super) uses: KeyUses,
    pub(super) logins: super::throttle::Throttle,
    pub(super) passwords: super::password::Passwords,
    /// What nodes share beside the store, on the rungs that have it.
    pub(super) shared: Option<Arc<dyn Shared>>,
    /// Revocations that the shared service has not heard of yet.
    pub(super) untold: std::sync::Mutex<Vec<Revocation>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control(sequence {})", self.snapshot().sequence())
    }
}

impl Control {
    /// Reads the rights from the store, or from the sealed copy while the store is away, and makes the installation's own
    /// secrets where they do not exist yet.
    ///
    /// # Errors
    /// Neither can be read.
    pub async fn open(store: Arc<dyn ControlStore>, keyring: Arc<Keyring>, clock: Clock, options: Options) -> Result<Self, OpenError> {
        let copy = LocalCopy::new(&options.data_dir);
        let control = Self {
            store,
            keyring,
            clock,
            options,
            snapshot: ArcSwap::default(),
            documents: Mutex::new(copy),
            confirmed: AtomicI64::new(0),
            uses: KeyUses::default(),
            shared: None,
            untold: std::sync::Mutex::default(),
            logins: super::throttle::Throttle::default(),
            passwords: super::password::Passwords::default(),
        };
        match control.refresh().await {
            Ok(_) => control.make_secrets().await.map_err(OpenError::SetUp)?,
            Err(Error::Store(away)) => control.read_copy(away).await?,
            Err(Error::Unreadable(error)) => return Err(error.into()),
            Err(error) => return Err(OpenError::SetUp(error)),
        }
        Ok(control)
    }

    /// Shares wrong passwords and revocations with other nodes by this, too.
    pub fn share(&mut self, shared: Arc<dyn Shared>) {
        self.shared = Some(shared);
    }

    async fn read_copy(&self, away: store::Error) -> Result<(), OpenError> {
        let mut copy = self.documents.lock().await;
        let oldest = self.clock.now() - self.options.max_stale;
        let Some(confirmed) = copy.read(&self.keyring, oldest).await else { return Err(OpenError::Away(away)) };
        let snapshot = Snapshot::default().with(copy.sequence(), &copy.documents(), &self.keyring)?;
        self.snapshot.store(Arc::new(snapshot));
        self.confirmed.store(confirmed.as_millis(), Ordering::Relaxed);
        tracing::warn!("the store is away: starting with the rights of the local copy");
        Ok(())
    }

    /// The snapshot in force. Hold it for one decision, not for long.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// What documents' own secrets are sealed with.
    pub fn sealing(&self) -> Arc<Keyring> {
        Arc::clone(self.snapshot().opened().data().unwrap_or(&self.keyring))
    }

    /// When the rights were last confirmed to be the newest.
    pub fn confirmed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.confirmed.load(Ordering::Relaxed))
    }

    /// Whether last known rights are too old to go by.
    pub fn is_stale(&self) -> bool {
        self.clock.now().since(self.confirmed_at()) > self.options.max_stale
    }

    /// Somebody else than the store (the shared list of revocations) confirmed that nothing was revoked.
    pub fn confirm(&self, at: Timestamp) {
        self.confirmed.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// Asks the store for what changed and shows it. Returns the sequence that is in force now.
    ///
    /// # Errors
    /// The store is away, or a document cannot be read.
    pub async fn refresh(&self) -> Result<i64, Error> {
        let mut copy = self.documents.lock().await;
        self.refresh_with(&mut copy).await
    }

    async fn refresh_with(&self, copy: &mut LocalCopy) -> Result<i64, Error> {
        let asked_at = self.clock.now();
        let snapshot = self.snapshot.load_full();
        let (sequence, changed) = within(READ_TIMEOUT, self.store.changes_since(snapshot.sequence())).await?;
        if sequence != snapshot.sequence() {
            let next = snapshot.with(sequence, &changed, &self.keyring)?;
            copy.apply(sequence, changed);
            self.snapshot.store(Arc::new(next));
        }
        self.confirm(asked_at);
        Ok(sequence)
    }

    /// Shows revocations that came by another way than the store.
    pub(super) async fn show_revoked(&self, revoked: std::collections::BTreeSet<uuid::Uuid>) {
        // Whoever refreshes makes the next snapshot of the one that is there, so nobody may come between.
        let _alone = self.documents.lock().await;
        let snapshot = self.snapshot.load_full();
        if !snapshot.has_revoked(&revoked) {
            self.snapshot.store(Arc::new(snapshot.with_revoked(revoked)));
        }
    }

    /// For a token that this node does not know: perhaps it is new. Looks for news unless somebody just has, and says
    /// whether there were any.
    pub async fn look_again(&self) -> bool {
        let before = self.snapshot().sequence();
        let mut copy = self.documents.lock().await;
        if self.snapshot().sequence() != before {
            return true;
        }
        if self.clock.now().since(self.confirmed_at()) < LOOK_AGAIN {
            return false;
        }
        self.refresh_with(&mut copy).await.is_ok_and(|sequence| sequence != before)
    }

    /// Plans on what is there now and commits; plans again if somebody else was faster. The snapshot shows the change when
    /// this returns.
    ///
    /// # Errors
    /// What the plan says, or the store is away (then it may have happened).
    pub async fn change<R>(&self, plan: impl Fn(&Scene<'_>) -> Result<(Plan, R), Error>) -> Result<R, Error> {
        for _ in 0..MAX_PLANS {
            let snapshot = self.snapshot.load_full();
            let now = self.clock.now();
            let scene = Scene { snapshot: &snapshot, now, clock: &self.clock, keyring: &self.keyring };
            let (plan, result) = plan(&scene)?;
            if plan.is_empty() {
                return Ok(result);
            }
            let key = snapshot.opened().audit().cloned();
            match self.commit(plan, key, now).await {
                Ok(()) => return Ok(result),
                Err(CommitError::Conflict { .. }) => {
                    self.refresh().await?;
                }
                Err(CommitError::Exists { kind }) => {
                    // Taken, or taken meanwhile by somebody whose change we have not seen: then the plan will say so.
                    if self.refresh().await? == snapshot.sequence() {
                        return Err(Error::Exists(kind));
                    }
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    pub(super) async fn commit(&self, plan: Plan, key: Option<ChainKey>, at: Timestamp) -> Result<(), CommitError> {
        let key = key.ok_or_else(|| store::Error::Broken(anyhow::anyhow!("the installation has no key for its audit log")))?;
        let commit = Commit { changes: plan.changes, audit: plan.audit, key, at };
        within(COMMIT_TIMEOUT, self.store.commit(commit)).await?;
        // Durable already: should the read fail now, the poll shows it a moment later.
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a change is committed but could not be read back yet");
        }
        Ok(())
    }

    /// Keeps the snapshot fresh, the sealed copy written and key uses recorded, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut away, mut uses_at) = (false, self.clock.moment());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = poll.tick() => {}
                () = self.store.wait_for_change() => {}
            }
            match self.refresh().await {
                Ok(_) => {
                    if std::mem::take(&mut away) {
                        tracing::info!("the store is back: rights are the newest again");
                    }
                }
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "rights cannot be refreshed; last known ones stay in force");
                }
                Err(_) => {}
            }
            self.exchange_revocations(away).await;
            self.documents.lock().await.write(&self.keyring, self.confirmed_at()).await;
            if self.clock.moment().since(uses_at) >= KEY_USES_EVERY {
                uses_at = self.clock.moment();
                self.write_uses().await;
                self.tidy().await;
            }
        }
        self.write_uses().await;
    }
}

pub(super) async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, CommitError>>) -> Result<T, CommitError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(store::Error::Unavailable(anyhow::anyhow!("no answer within {limit:?}")).into()),
    }
}

/// The documents as they were read.
pub(super) type Documents = std::collections::BTreeMap<(super::model::Kind, uuid::Uuid), Document>;
