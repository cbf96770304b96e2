//! The one place where ambient time and randomness enter.
//!
//! Everything that decides takes `now` and random bytes as arguments; whoever calls it holds a [`Clock`]. A virtual clock
//! follows tokio's (paused) time, so tests move it with `tokio::time::advance`.

#![expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use tidings_core::time::{Moment, Timestamp};
use tokio::time::Instant;

/// Reads the calendar and the monotonic clock, and draws randomness.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Set for a virtual clock: the calendar time at `start`.
    epoch: Option<Timestamp>,
}

impl Clock {
    pub fn system() -> Self {
        Self { start: Instant::now(), epoch: None }
    }

    /// A clock that shows `epoch` now and moves with tokio's time.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { start: Instant::now(), epoch: Some(epoch) }
    }

    /// The calendar: for what people and other systems see.
    pub fn now(&self) -> Timestamp {
        match self.epoch {
            Some(epoch) => epoch + self.start.elapsed(),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }

    /// The monotonic clock: for deadlines, health and limits.
    pub fn moment(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    /// The tokio instant of a moment of this clock, to sleep until.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since_start()
    }

    /// Random bytes from the system's generator: ten for an id, more for a key.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }
}
