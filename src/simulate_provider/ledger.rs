//! What the vendor did, by message id: the count that nobody argues with.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

/// The window of `throttle_per_s`.
const SECOND: Duration = Duration::from_secs(1);
/// Cut calls that are remembered; whoever cuts more has seen enough.
const MOST_CUT: usize = 1_000_000;

#[derive(Debug, Default)]
pub struct Ledger {
    processed: Mutex<HashMap<String, u32>>,
    calls: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    open_high_water: AtomicU64,
    cut: Mutex<Vec<CutCall>>,
    answers: Mutex<BTreeMap<&'static str, u64>>,
    recent: Mutex<VecDeque<Instant>>,
    next_number: AtomicU64,
}

/// One look at the counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Calls that reached the vendor.
    pub calls: u64,
    /// Calls under way now, and the most there were since the last look that asked to start over.
    pub open: u64,
    pub open_high_water: u64,
    /// Times that a message was processed, different messages, and messages processed more than once.
    pub processed: u64,
    pub messages: u64,
    pub duplicates: u64,
    /// Acceptances that were answered.
    pub accepted: u64,
    /// How calls ended, by behaviour.
    pub answers: BTreeMap<&'static str, u64>,
}

/// A call whose caller went away before it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CutCall {
    pub id: String,
    /// Whether the message was out by then.
    pub processed: bool,
}

/// A call under way. Dropped before it is [`OpenCall::finished`], it was cut: the caller went away.
pub struct OpenCall<'a> {
    ledger: &'a Ledger,
    id: String,
    processed: bool,
    finished: bool,
}

impl OpenCall<'_> {
    /// The message is out.
    pub fn process(&mut self) {
        self.processed = true;
        *lock(&self.ledger.processed).entry(self.id.clone()).or_insert(0) += 1;
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn finished(mut self) {
        self.finished = true;
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.ledger.open.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            let mut cut = lock(&self.ledger.cut);
            if cut.len() < MOST_CUT {
                cut.push(CutCall { id: std::mem::take(&mut self.id), processed: self.processed });
            }
        }
    }
}

impl Ledger {
    pub fn open(&self, id: String) -> OpenCall<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.open_high_water.fetch_max(open, Ordering::Relaxed);
        OpenCall { ledger: self, id, processed: false, finished: false }
    }

    pub fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an end that is not a plain acceptance.
    pub fn answer(&self, what: &'static str) {
        *lock(&self.answers).entry(what).or_insert(0) += 1;
    }

    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether one more call fits into the second that ends now.
    pub fn lets_through(&self, per_second: usize) -> bool {
        if per_second == 0 {
            return true;
        }
        let now = clock();
        let mut recent = lock(&self.recent);
        while recent.front().is_some_and(|at| now.duration_since(*at) >= SECOND) {
            recent.pop_front();
        }
        let fits = recent.len() < per_second;
        if fits {
            recent.push_back(now);
        }
        fits
    }

    pub fn figures(&self) -> Figures {
        let processed = lock(&self.processed);
        Figures {
            calls: self.calls.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
            open_high_water: self.open_high_water.load(Ordering::Relaxed),
            processed: processed.values().map(|times| u64::from(*times)).sum(),
            messages: processed.len() as u64,
            duplicates: processed.values().filter(|times| **times > 1).count() as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            answers: lock(&self.answers).clone(),
        }
    }

    pub fn times_processed(&self, id: &str) -> u32 {
        lock(&self.processed).get(id).copied().unwrap_or(0)
    }

    pub fn all_processed(&self) -> HashMap<String, u32> {
        lock(&self.processed).clone()
    }

    pub fn cut(&self) -> Vec<CutCall> {
        lock(&self.cut).clone()
    }

    /// Forgets everything but the calls under way.
    pub fn forget(&self) {
        lock(&self.processed).clear();
        lock(&self.answers).clear();
        lock(&self.cut).clear();
        self.calls.store(0, Ordering::Relaxed);
        self.accepted.store(0, Ordering::Relaxed);
        self.open_high_water.store(self.open.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the clock of a simulated vendor, which lives outside of Tidings")]
fn clock() -> Instant {
    Instant::now()
}
