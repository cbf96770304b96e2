//! Leases whose answers were lost: a call that failed may have taken messages all the same.
//!
//! The server commits and the connection breaks, or a frozen server carries the statement out when it wakes. Such messages
//! would lie leased to this process and in nobody's hands until the lease is over. So every call that failed is remembered by
//! its lease's end, and the next calls of the lane take what lies there again. For a while, because a server that thaws may
//! carry out the old statement after the new one; whoever holds a message already passes it over.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tidings_core::{message::Lane, time::Timestamp};

use crate::store::LeaseOwner;

/// How long after a call that failed its messages are looked for: longer than a server needs to carry out what it was sent.
const LOOKED_FOR: Duration = Duration::from_mins(2);
/// Calls remembered, at most: a lane asks twice a second while the store is away.
const MOST: usize = 512;

/// Calls that may have taken messages.
#[derive(Debug, Default)]
pub struct Lost(Mutex<Vec<Call>>);

#[derive(Clone, Copy, Debug)]
struct Call {
    lane: Lane,
    owner: LeaseOwner,
    /// The end of the lease that it would have given: what its rows are found by.
    until: Timestamp,
    failed_at: Timestamp,
}

impl Lost {
    pub fn note(&self, lane: Lane, owner: LeaseOwner, until: Timestamp, failed_at: Timestamp) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == MOST {
            calls.remove(0);
        }
        calls.push(Call { lane, owner, until, failed_at });
    }

    /// The ends of the leases of a lane's lost calls.
    pub fn of(&self, lane: Lane, owner: LeaseOwner, now: Timestamp) -> Vec<Timestamp> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|call| now.since(call.failed_at) < LOOKED_FOR);
        calls.iter().filter(|call| call.lane == lane && call.owner == owner).map(|call| call.until).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_call_is_looked_for_in_its_lane_for_a_while() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let lost = Lost::default();
        lost.note(Lane::Urgent, 1, at(30), at(0));
        assert_eq!(lost.of(Lane::Urgent, 1, at(1)), [at(30)]);
        assert!(lost.of(Lane::Bulk, 1, at(1)).is_empty() && lost.of(Lane::Urgent, 2, at(1)).is_empty());
        assert!(lost.of(Lane::Urgent, 1, at(120)).is_empty());
    }
}
