//! What processes tell each other: a summary every fifth of a second, sooner when something happened.
//!
//! A summary is a snapshot of one process and replaces its earlier ones. Merging adds counts and compares verdicts, so
//! the order in which processes are heard does not matter, summaries may be lost and repeated, and one that is older than
//! what was heard already says nothing. A process that hears nothing goes on with its own view.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::{health::Report, time::Moment};

/// Every so many summaries carry the slow memories, from which a new process starts warm.
const MEMORIES_EVERY: u64 = 25;

/// What one process knows of every provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Tells processes apart; new after a restart.
    pub process: u64,
    /// Counts up; an older summary than one already heard says nothing.
    pub sequence: u64,
    pub providers: Vec<(Arc<str>, Report)>,
}

impl Fleet {
    /// Whether others should hear now rather than at the next regular time.
    pub fn take_news(&mut self) -> bool {
        // Every member is asked: news that was taken is not told twice.
        self.members.iter_mut().filter_map(|member| member.health.take_news().then_some(())).count() > 0
    }

    /// What this process tells now.
    pub fn summary(&mut self, now: Moment) -> Summary {
        self.summaries += 1;
        let with_memories = self.summaries % MEMORIES_EVERY == 1;
        let told = |member: &super::Member| (Arc::clone(&member.spec.name), member.health.report(now, with_memories));
        Summary { process: self.process, sequence: self.summaries, providers: self.members.iter().map(told).collect() }
    }

    /// Hears what another process told `delay` ago. Its own summaries and providers of other revisions are passed over.
    pub fn merge(&mut self, now: Moment, summary: &Summary, delay: Duration) {
        if summary.process == self.process {
            return;
        }
        for (name, report) in &summary.providers {
            if let Some(place) = self.place(name) {
                self.members[place].health.hear(now, summary.process, summary.sequence, report, delay);
                self.collect(now, place);
            }
        }
    }
}
