//! Whether there is room for one more message, by lane: bulk is refused first, urgent last.
//!
//! The bound is on what waits in the whole system. It is read a few times a second and counted on in between, so that a
//! burst cannot run past it unseen. The other bound is the disk: a full one would stop everything at once.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tidings_core::message::Lane;

/// Beyond the bound the better lanes still have room: in tenths of `max_messages`.
const TENTHS: [u64; 3] = [12, 11, 10];
/// Below so many per cent of free disk a lane is refused.
const FREE_PERCENT: [u8; 3] = [1, 3, 5];

#[derive(Debug)]
pub struct Room {
    max_messages: u64,
    waiting: AtomicU64,
    free_percent: AtomicU8,
}

impl Room {
    pub const fn new(max_messages: u64) -> Self {
        Self { max_messages, waiting: AtomicU64::new(0), free_percent: AtomicU8::new(100) }
    }

    /// What somebody counted just now.
    pub fn observed(&self, waiting: u64, free_percent: u8) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.free_percent.store(free_percent, Ordering::Relaxed);
    }

    /// Makes room for one message of a lane, or says that there is none.
    pub fn enter(&self, lane: Lane) -> bool {
        let place = lane.index();
        let waiting = self.waiting.load(Ordering::Relaxed);
        let full = waiting >= self.max_messages.saturating_mul(TENTHS[place]) / 10;
        if full || self.free_percent.load(Ordering::Relaxed) < FREE_PERCENT[place] {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_is_shed_first_and_urgent_last() {
        let room = Room::new(10);
        let fill = |lane| (0..100).take_while(|_| room.enter(lane)).count();
        assert_eq!((fill(Lane::Bulk), fill(Lane::Normal), fill(Lane::Urgent)), (10, 1, 1));
        assert!(!room.enter(Lane::Urgent), "it is bounded for everybody");
        room.observed(3, 100);
        assert!(room.enter(Lane::Bulk));
    }

    #[test]
    fn a_disk_that_fills_sheds_bulk_first() {
        let room = Room::new(1_000);
        room.observed(0, 4);
        assert_eq!((room.enter(Lane::Bulk), room.enter(Lane::Normal), room.enter(Lane::Urgent)), (false, true, true));
        room.observed(0, 0);
        assert!(!room.enter(Lane::Urgent));
    }
}
