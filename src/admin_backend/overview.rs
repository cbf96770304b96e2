//! Are messages getting out? Everything that the first page rests on, in one look.

use std::time::Duration;

use tidings_admin::{
    Error,
    views::{Dependency, FailureGroup, LaneState, Minute, Overview},
};
use tidings_core::{attempt::Outcome, message::Lane};

use super::AdminBackend;
use crate::control::model::RequestStatus;

/// A store that does not answer a small question within this is away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Events on the first page.
const EVENTS: usize = 8;
/// Lines of the table of failures.
const FAILURES: usize = 8;

impl AdminBackend {
    pub(super) async fn see_overview(&self) -> Result<Overview, Error> {
        let now = self.clock.now();
        let minutes = self.history.minutes(now);
        let rates = self.history.rates();
        let waiting = tokio::time::timeout(PATIENCE, self.messages.waiting(now)).await;
        let waiting = waiting.ok().and_then(Result::ok);
        let lanes = Lane::ALL.iter().map(|lane| {
            let waiting = waiting.map(|all| all[lane.index()]).unwrap_or_default();
            LaneState { lane: *lane, waiting: waiting.messages, oldest: waiting.oldest }
        });
        let snapshot = self.control.snapshot();
        let pending = snapshot.approvals().filter(|request| request.status == RequestStatus::Pending).count();
        Ok(Overview {
            at: now,
            accepted_per_s: rates.accepted,
            submitted_per_s: rates.submitted,
            lanes: lanes.collect(),
            dependencies: self.dependencies(waiting.is_some()),
            providers: self.see_providers(),
            events: self.provider_events(None, EVENTS),
            failures: failures(&minutes),
            pending_requests: pending,
            minutes: minutes
                .iter()
                .map(|minute| Minute { at: minute.at, accepted: minute.accepted, submitted: minute.submitted, failed: minute.failed })
                .collect(),
        })
    }

    fn dependencies(&self, store_answers: bool) -> Vec<Dependency> {
        let degrades = "what is shown here is from before; accepting and delivering go on as far as they can";
        let mut all = vec![Dependency { name: "database".to_owned(), up: store_answers, degrades: degrades.to_owned() }];
        if self.control.is_stale() {
            let age = self.clock.now().since(self.control.confirmed_at()).as_secs();
            all.push(Dependency {
                name: "rights".to_owned(),
                up: false,
                degrades: format!("last confirmed {age} s ago, too long to go by"),
            });
        }
        all.extend(self.metrics.dependencies().into_iter().filter(|(name, _)| name != "database").map(|(name, up)| Dependency {
            degrades: match name.as_str() {
                "redis" => "limits fall back to each node's share, idempotency to the store".to_owned(),
                "kafka" => "messages are accepted into the store and taken from there".to_owned(),
                _ => String::new(),
            },
            name,
            up,
        }));
        all
    }
}

/// Attempts of the last hour that did not succeed, by provider and outcome, most frequent first.
fn failures(minutes: &[super::history::Minute]) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    for (provider, one) in minutes.iter().flat_map(|minute| &minute.providers) {
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Accepted && one.outcomes[outcome.index()] > 0) {
            let count = one.outcomes[outcome.index()];
            match groups.iter_mut().find(|group| group.provider == *provider && group.outcome == *outcome) {
                Some(group) => group.count += count,
                None => groups.push(FailureGroup { provider: provider.clone(), outcome: *outcome, count }),
            }
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups.truncate(FAILURES);
    groups
}
