//! The answers of a fleet: a ticket for a call, a time to come back, or the end of a round.

use crate::{fleet::Why, message::Lane, time::Moment};

/// What a message is told that asked for a provider.
#[derive(Debug)]
pub enum Choice {
    /// Call this provider. Its limit and a slot in flight are taken.
    Call(Ticket),
    /// Nobody has room now. Ask again at `until`, or earlier when a call has ended. `provider` is whose limit it is that has
    /// room first, where a limit is the reason.
    Wait { until: Moment, reason: WaitReason, provider: Option<usize> },
    /// Everybody who may be chosen now was tried: the round is over ([`crate::retry::Course::exhausted`]).
    Exhausted,
    /// No candidate is cheap enough, or none is left in the revision: this message can never be sent.
    NoCandidate,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The rate of whoever is left is used up until then.
    Rate,
    /// As many calls are out as may be.
    InFlight,
    /// Every provider is out; the least bad is tried at a pace.
    AllOut,
    /// A person has paused every provider.
    Paused,
}

/// A call that may be made now. It must be given back exactly once: [`super::Fleet::ended`] or [`super::Fleet::abandoned`].
#[derive(Debug)]
#[must_use = "a ticket holds a slot in flight until it is given back"]
pub struct Ticket {
    /// Unique within the fleet.
    pub id: u64,
    /// The provider's place in the configuration that the choice was made by.
    pub provider: usize,
    /// When the call went out, or as long as it has not, when the choice was made; latency counts from here.
    pub started: Moment,
    pub why: Why,
    pub(super) member: u32,
    pub(super) call: u64,
    pub(super) segments: u32,
    pub(super) lane: Lane,
    /// Its place among the provider's departures, once it has asked for one.
    pub(super) place: Option<Moment>,
    /// Chosen and not departed: it is being written down.
    pub(super) held: bool,
    pub(super) probe: bool,
    pub(super) more: bool,
}

impl Ticket {
    /// Whether this call finds out if a provider that was out has come back.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// Whether somebody who waits for the same provider would find room too: whoever was woken wakes the next.
    pub const fn leaves_room(&self) -> bool {
        self.more
    }
}
