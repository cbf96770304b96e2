//! What one process tells the others about one provider, and what it has heard.
//!
//! A report is a snapshot: running totals, calls that are out, open cohorts of receipts, now and then the memories, and the
//! verdict. The newest report of a process replaces its older ones and what is added up is the difference of totals, so
//! reports may be lost, repeated or overtake each other. Durations count back from the moment of the report, because
//! processes share no clock; what came by gossip is judged at the age that it had when it was told.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    baseline::Memory,
    batch::Batch,
    hang::Elsewhere,
    latency::BINS,
    receipts::{self, Delays, Open},
    signal::{Reading, Signal},
};
use crate::time::Moment;

/// Calls out that a report tells of.
pub const MOST_CALLS: usize = 64;
/// A process that was not heard of for so long says nothing about now; what it owned is up for others.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);
/// Its memory of what is normal is kept longer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Totals since the process started, wrapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    answered: Vec<(u8, u32)>,
    failed: u32,
    ambiguous: u32,
}

/// Totals as they are counted.
#[derive(Clone, Debug)]
pub struct Counter {
    bins: [u32; BINS],
    failed: u32,
    ambiguous: u32,
}

impl Default for Counter {
    fn default() -> Self {
        Self { bins: [0; BINS], failed: 0, ambiguous: 0 }
    }
}

impl Counter {
    pub fn add(&mut self, batch: &Batch) {
        for (bin, count) in &batch.answered {
            if let Some(slot) = self.bins.get_mut(usize::from(*bin)) {
                *slot = slot.wrapping_add(*count);
            }
        }
        self.failed = self.failed.wrapping_add(batch.failed);
        self.ambiguous = self.ambiguous.wrapping_add(batch.ambiguous);
    }

    pub fn totals(&self) -> Totals {
        let bins = (0_u8..).zip(&self.bins).filter(|(_, count)| **count > 0);
        Totals { answered: bins.map(|(bin, count)| (bin, *count)).collect(), failed: self.failed, ambiguous: self.ambiguous }
    }

    /// Moves on to newer totals; what came in between.
    fn advance(&mut self, to: &Totals) -> Batch {
        let mut batch = Batch::default();
        for (bin, count) in &to.answered {
            let Some(slot) = self.bins.get_mut(usize::from(*bin)) else { continue };
            let more = count.wrapping_sub(*slot);
            if more > 0 {
                batch.answered.push((*bin, more));
            }
            *slot = *count;
        }
        batch.failed = to.failed.wrapping_sub(self.failed);
        batch.ambiguous = to.ambiguous.wrapping_sub(self.ambiguous);
        (self.failed, self.ambiguous) = (to.failed, to.ambiguous);
        batch
    }
}

/// Where a provider stands, by the latest decision that anybody made. The greater one wins, so it does not matter in which
/// order they are heard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub version: u64,
    pub owner: u64,
    pub phase: ToldPhase,
    pub signal: Option<Signal>,
    pub costly: bool,
    pub share: f64,
    #[serde(default = "all")]
    pub fails: f64,
    pub rate: f64,
    pub count: f64,
    /// How long the outage has lasted.
    pub lasted: Duration,
    /// What led to it.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// How much slower than usual its probes were, on the logarithmic scale: sum and number.
    #[serde(default)]
    pub slower: (f64, f64),
}

/// Nothing succeeds, as far as a process of an older version says.
const fn all() -> f64 {
    1.0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldPhase {
    In,
    Out { ends_in: Duration },
    Probing,
    Ramping { for_now: Duration },
}

/// A provider, as one process sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub totals: Totals,
    /// Milliseconds since the start, and the age that counts if it is out.
    pub calls: Vec<(u32, Option<u32>)>,
    pub receipts: Open,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memories: Option<Box<(Memory, Delays)>>,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
struct Peer {
    sequence: u64,
    heard_at: Moment,
    told_at: Moment,
    counter: Counter,
    calls: Vec<Elsewhere>,
    receipts: Open,
    memories: Option<(Memory, Delays)>,
}

/// Everybody who was heard of.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    by_id: BTreeMap<u64, Peer>,
    /// What ended elsewhere and was not yet weighed, as counts, so that the order of arrival does not matter.
    inbox: Counter,
    weighed: Counter,
    calls: Vec<Elsewhere>,
    stale: bool,
}

impl Peers {
    /// Takes a report; false if it is old news.
    pub fn hear(&mut self, now: Moment, id: u64, sequence: u64, report: &Report, delay: Duration) -> bool {
        let told_at = now - delay;
        let known = self.by_id.get_mut(&id);
        if known.as_ref().is_some_and(|peer| peer.sequence >= sequence) {
            return false;
        }
        let calls = report.calls.iter().map(|(since_ms, age_ms)| Elsewhere {
            started: told_at - Duration::from_millis(u64::from(*since_ms)),
            age_s: age_ms.map(|age| f64::from(age) / 1_000.0),
        });
        let calls: Vec<Elsewhere> = calls.collect();
        let memories = report.memories.as_deref().cloned();
        match known {
            Some(peer) => {
                let batch = peer.counter.advance(&report.totals);
                self.inbox.add(&batch);
                (peer.sequence, peer.heard_at, peer.told_at) = (sequence, now, told_at);
                (peer.calls, peer.receipts) = (calls, report.receipts.clone());
                peer.memories = memories.or(peer.memories.take());
            }
            None => {
                let mut counter = Counter::default();
                counter.advance(&report.totals);
                let receipts = report.receipts.clone();
                self.by_id.insert(id, Peer { sequence, heard_at: now, told_at, counter, calls, receipts, memories });
            }
        }
        self.stale = true;
        true
    }

    /// What ended elsewhere since the last time.
    pub fn take_batch(&mut self) -> Batch {
        let totals = self.inbox.totals();
        self.weighed.advance(&totals)
    }

    /// Calls out elsewhere that started no earlier than `since`, in the order of starts.
    pub fn calls(&mut self, now: Moment, since: Moment) -> &[Elsewhere] {
        if self.by_id.values().any(|peer| !peer.calls.is_empty() && now.since(peer.heard_at) > SILENT_AFTER) {
            self.by_id.values_mut().filter(|peer| now.since(peer.heard_at) > SILENT_AFTER).for_each(|peer| peer.calls.clear());
            self.stale = true;
        }
        if self.stale {
            self.stale = false;
            self.calls = self.by_id.values().flat_map(|peer| &peer.calls).filter(|call| call.started >= since).copied().collect();
            self.calls.sort_by_key(|call| call.started);
        }
        &self.calls
    }

    /// Open cohorts elsewhere.
    pub fn receipts(&self, now: Moment) -> Vec<receipts::Elsewhere<'_>> {
        // What a process received stays received, also when it has stopped since.
        let heard = self.by_id.values().filter(|peer| now.since(peer.heard_at) <= receipts::COMPLETE);
        let seconds_ago = |peer: &Peer| now.since_start().as_secs().saturating_sub(peer.told_at.since_start().as_secs());
        heard
            .map(|peer| receipts::Elsewhere {
                open: &peer.receipts,
                seconds_ago: usize::try_from(seconds_ago(peer)).unwrap_or(usize::MAX),
                fraction: peer.told_at.as_secs_f64().fract(),
            })
            .collect()
    }

    pub fn memories(&self) -> impl Iterator<Item = &(Memory, Delays)> {
        self.by_id.values().filter_map(|peer| peer.memories.as_ref())
    }

    /// How many processes share the traffic, this one included.
    pub fn processes(&self, now: Moment) -> f64 {
        1.0 + self.by_id.values().filter(|peer| now.since(peer.heard_at) <= SILENT_AFTER).map(|_| 1.0).sum::<f64>()
    }

    pub fn is_silent(&self, now: Moment, id: u64) -> bool {
        self.by_id.get(&id).is_none_or(|peer| now.since(peer.heard_at) > SILENT_AFTER)
    }

    pub fn forget_old(&mut self, now: Moment) {
        self.by_id.retain(|_, peer| now.since(peer.heard_at) <= FORGOTTEN_AFTER);
    }

    /// Calls from before now say nothing about what comes.
    pub fn reset(&mut self) {
        self.calls.clear();
        self.stale = true;
    }
}
