//! One lane of a worker: its permits, its alarm clock, and how much it takes at once.
//!
//! A lane whose messages find no room at their providers must not be emptied into parking places: after a message had to
//! park, the lane takes few at a time, and doubles again while none parks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};

/// Messages leased at once: a write to the store carries them all.
const MOST_AT_ONCE: usize = 256;
/// What a lane takes at once while its providers are full.
const WHILE_FULL: usize = 8;
/// How long a lane pauses between two takes while its providers are full.
pub const PAUSE_WHILE_FULL: Duration = Duration::from_millis(250);

pub struct LaneState {
    pub permits: Arc<Semaphore>,
    pub woken: Notify,
    at_once: AtomicUsize,
}

impl LaneState {
    pub fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), woken: Notify::new(), at_once: AtomicUsize::new(MOST_AT_ONCE) }
    }

    /// How many to take now.
    pub fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.at_once() < MOST_AT_ONCE
    }

    /// A message found no room and parks.
    pub fn parked(&self) {
        self.at_once.store(WHILE_FULL, Ordering::Relaxed);
    }

    /// A take went by without parking.
    pub fn flowed(&self) {
        self.at_once.store((self.at_once() * 2).min(MOST_AT_ONCE), Ordering::Relaxed);
    }
}
