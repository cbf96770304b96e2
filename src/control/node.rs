//! One node's hold on the control plane: the snapshot in force, how it is kept fresh, how changes are committed.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tidings_core::{id::KeyId, time::Timestamp};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Actor, Error, POLL, Plan, Scene, Snapshot, audit::ChainKey, local::LocalCopy, model::ActorId, secrets, snapshot::Unreadable};
use crate::{
    clock::Clock,
    seal::Keyring,
    store::{
        self,
        control::{Commit, ControlStore, Document, Error as CommitError},
    },
};

/// How often a change is planned again because somebody else was faster.
const MAX_PLANS: usize = 8;
/// A store that does not answer a small read within this is away.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// A commit waits behind the writer of messages; beyond this the store is away.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
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
    uses: std::sync::RwLock<HashMap<KeyId, Arc<AtomicI64>>>,
    pub(super) logins: super::throttle::Throttle,
    pub(super) passwords: super::password::Passwords,
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
            uses: std::sync::RwLock::default(),
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

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
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

    async fn commit(&self, plan: Plan, key: Option<ChainKey>, at: Timestamp) -> Result<(), CommitError> {
        let key = key.ok_or_else(|| store::Error::Broken(anyhow::anyhow!("the installation has no key for its audit log")))?;
        let commit = Commit { changes: plan.changes, audit: plan.audit, key, at };
        within(COMMIT_TIMEOUT, self.store.commit(commit)).await?;
        // Durable already: should the read fail now, the poll shows it a moment later.
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a change is committed but could not be read back yet");
        }
        Ok(())
    }

    /// The keys of audit chain, look-ups and tokens, made by whichever node is first.
    async fn make_secrets(&self) -> Result<(), Error> {
        for _ in 0..MAX_PLANS {
            let snapshot = self.snapshot.load_full();
            let now = self.clock.now();
            let scene = Scene { snapshot: &snapshot, now, clock: &self.clock, keyring: &self.keyring };
            let mut plan = Plan::default();
            let mut chain_key = snapshot.opened().audit().cloned();
            for name in [secrets::AUDIT, secrets::LOOKUP, secrets::REFRESH] {
                if snapshot.secret(name).is_none() {
                    let plain = self.clock.random::<32>();
                    if name == secrets::AUDIT {
                        chain_key = Some(ChainKey::new(&plain));
                    }
                    plan.create(&secrets::seal(name, scene.uuid(), &plain, now, &self.keyring));
                }
            }
            if snapshot.opened().signing(now).is_none() {
                super::keys::new_signing_key(&scene, &mut plan, now);
            }
            if plan.is_empty() {
                return Ok(());
            }
            let actor = Actor::own(ActorId::system());
            plan.log(
                &scene,
                &actor,
                super::plan::Said { action: "installation.keys_made", object: "installation".into(), ..Default::default() },
            );
            match self.commit(plan, chain_key, now).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Exists { .. }) => drop(self.refresh().await?),
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Notes that a key was used; written down twice a minute.
    pub fn key_used(&self, key: KeyId, now: Timestamp) {
        let known = |uses: &HashMap<KeyId, Arc<AtomicI64>>| uses.get(&key).map(|slot| slot.fetch_max(now.as_millis(), Ordering::Relaxed));
        if let Ok(uses) = self.uses.read()
            && known(&uses).is_some()
        {
            return;
        }
        if let Ok(mut uses) = self.uses.write() {
            uses.entry(key).or_default().fetch_max(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// When a key was last used, as far as this node knows from its own calls and from the store.
    ///
    /// # Errors
    /// The store is away.
    pub async fn key_uses(&self) -> Result<HashMap<KeyId, Timestamp>, Error> {
        let mut uses: HashMap<KeyId, Timestamp> = within(READ_TIMEOUT, self.store.key_uses()).await?.into_iter().collect();
        for (key, at) in self.own_uses() {
            let known = uses.entry(key).or_insert(at);
            *known = (*known).max(at);
        }
        Ok(uses)
    }

    fn own_uses(&self) -> Vec<(KeyId, Timestamp)> {
        let Ok(uses) = self.uses.read() else { return Vec::new() };
        uses.iter().map(|(key, at)| (*key, Timestamp::from_millis(at.load(Ordering::Relaxed)))).collect()
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
            self.documents.lock().await.write(&self.keyring, self.confirmed_at()).await;
            if self.clock.moment().since(uses_at) >= KEY_USES_EVERY {
                uses_at = self.clock.moment();
                self.write_uses().await;
                self.tidy().await;
            }
        }
        self.write_uses().await;
    }

    async fn write_uses(&self) {
        let uses = self.own_uses();
        if uses.is_empty() {
            return;
        }
        match within(COMMIT_TIMEOUT, self.store.record_key_uses(&uses)).await {
            // Idle keys leave the map; a key in use comes back with its next call.
            Ok(()) => {
                if let Ok(mut kept) = self.uses.write() {
                    let written: HashMap<KeyId, Timestamp> = uses.into_iter().collect();
                    kept.retain(|key, at| written.get(key).is_none_or(|written| at.load(Ordering::Relaxed) > written.as_millis()));
                }
            }
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "last uses of keys are not written yet"),
        }
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, CommitError>>) -> Result<T, CommitError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(store::Error::Unavailable(anyhow::anyhow!("no answer within {limit:?}")).into()),
    }
}

/// The documents as they were read.
pub(super) type Documents = std::collections::BTreeMap<(super::model::Kind, uuid::Uuid), Document>;
