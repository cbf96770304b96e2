//! The last hour in minutes, for the charts: read from the counters of this process and of those that say theirs, so it costs
//! nothing per message.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tidings_core::{attempt::Outcome, time::Timestamp};

use crate::telemetry::metrics::{ProviderTotals, Totals};

const MINUTE_MS: i64 = 60_000;
/// An hour, and the minute under way.
const MINUTES: usize = 61;
/// Samples that "now" is an average of: a minute at one every five seconds.
const RECENT: usize = 13;
/// Processes come and go; what one had counted is of no use to the charts any more after this.
const HOUR: Duration = Duration::from_hours(1);
const OUTCOMES: usize = Outcome::ALL.len();

/// What happened in one minute.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    pub at: Timestamp,
    pub accepted: u64,
    pub submitted: u64,
    pub failed: u64,
    pub providers: BTreeMap<String, ProviderMinute>,
}

#[derive(Clone, Debug, Default)]
pub struct ProviderMinute {
    pub outcomes: [u64; OUTCOMES],
    /// Calls per bucket of `Totals::bounds`, not cumulative.
    pub buckets: Vec<u64>,
    pub segments: u64,
}

impl ProviderMinute {
    pub fn calls(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Calls that speak against the provider: not those that speak against a recipient or a text, nor throttled ones.
    pub fn errors(&self) -> u64 {
        [Outcome::RejectedAccount, Outcome::Unavailable, Outcome::Ambiguous].iter().map(|outcome| self.outcomes[outcome.index()]).sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(mine, more)| *mine += more);
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, more)| *mine += more);
        self.segments += other.segments;
    }

    /// The latency that this share of calls stayed below, interpolated within its bucket.
    pub fn quantile(&self, share: f64, bounds: &[f64]) -> Option<Duration> {
        let calls: u64 = self.buckets.iter().sum();
        if calls == 0 {
            return None;
        }
        let (mut below, wanted) = (0.0, share * calls as f64);
        for (place, count) in self.buckets.iter().enumerate() {
            let count = *count as f64;
            if below + count >= wanted && count > 0.0 {
                let from = if place == 0 { 0.0 } else { bounds[place - 1] };
                let until = bounds.get(place).copied().unwrap_or(from);
                return Some(Duration::from_secs_f64(from + (until - from) * (wanted - below) / count));
            }
            below += count;
        }
        bounds.last().map(|last| Duration::from_secs_f64(*last))
    }
}

/// See the module.
#[derive(Default)]
pub struct History(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// What each process had counted when it was looked at last, and when that was. Who is silent for the hour is forgotten.
    last: HashMap<String, (Timestamp, Totals)>,
    minutes: VecDeque<Minute>,
    recent: VecDeque<Sample>,
    /// Everything that was seen to happen.
    seen: Sample,
}

/// Sums up to a time.
#[derive(Clone, Default)]
struct Sample {
    at: Timestamp,
    accepted: u64,
    submitted: u64,
    segments: BTreeMap<String, u64>,
}

/// Events a second over the last minute.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub accepted: f64,
    pub submitted: f64,
    pub segments: BTreeMap<String, f64>,
}

impl History {
    /// Adds what happened in each process since its last sample to the minute that is under way. What a process had counted
    /// before it was first seen was long ago.
    pub fn sample<'a>(&self, now: Timestamp, processes: impl IntoIterator<Item = (&'a str, &'a Totals)>) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { last, minutes, recent, seen } = &mut *guard;
        let at = Timestamp::from_millis(now.as_millis() / MINUTE_MS * MINUTE_MS);
        if minutes.back().is_none_or(|minute| minute.at < at) {
            minutes.push_back(Minute { at, ..Minute::default() });
            while minutes.len() > MINUTES {
                minutes.pop_front();
            }
        }
        let Some(minute) = minutes.back_mut() else { return };
        for (process, totals) in processes {
            let before = last.insert(process.to_owned(), (now, totals.clone())).map_or_else(|| totals.clone(), |(_, before)| before);
            let accepted = totals.accepted.saturating_sub(before.accepted);
            let submitted = totals.submitted.saturating_sub(before.submitted);
            minute.accepted += accepted;
            minute.submitted += submitted;
            minute.failed += totals.failed.saturating_sub(before.failed);
            seen.accepted += accepted;
            seen.submitted += submitted;
            for (name, provider) in &totals.providers {
                let none = ProviderTotals::default();
                let change = difference(provider, before.providers.get(name).unwrap_or(&none));
                minute.providers.entry(name.clone()).or_default().add(&change);
                *seen.segments.entry(name.clone()).or_default() += change.segments;
            }
        }
        last.retain(|_, (heard, _)| now.since(*heard) <= HOUR);
        seen.at = now;
        recent.push_back(seen.clone());
        while recent.len() > RECENT {
            recent.pop_front();
        }
    }

    /// The minutes of the last hour, oldest first, with empty ones where nothing was sampled.
    pub fn minutes(&self, now: Timestamp) -> Vec<Minute> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = now.as_millis() / MINUTE_MS;
        let first = last - MINUTES as i64 + 1;
        let at = |number: i64| Timestamp::from_millis(number * MINUTE_MS);
        let known = |number: i64| inner.minutes.iter().find(|minute| minute.at == at(number)).cloned();
        (first..=last).map(|number| known(number).unwrap_or_else(|| Minute { at: at(number), ..Minute::default() })).collect()
    }

    /// What a provider did in the last `minutes` minutes.
    pub fn lately(&self, provider: &str, now: Timestamp, minutes: usize) -> ProviderMinute {
        let mut sum = ProviderMinute::default();
        for minute in self.minutes(now).iter().rev().take(minutes) {
            if let Some(one) = minute.providers.get(provider) {
                sum.add(one);
            }
        }
        sum
    }

    pub fn rates(&self) -> Rates {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (inner.recent.front(), inner.recent.back()) else { return Rates::default() };
        let seconds = last.at.since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let per_s = |from: u64, until: u64| until.saturating_sub(from) as f64 / seconds;
        let of = |name: &String, until: u64| per_s(first.segments.get(name).copied().unwrap_or(0), until);
        let segments = last.segments.iter().map(|(name, until)| (name.clone(), of(name, *until))).collect();
        Rates { accepted: per_s(first.accepted, last.accepted), submitted: per_s(first.submitted, last.submitted), segments }
    }
}

fn difference(now: &ProviderTotals, before: &ProviderTotals) -> ProviderMinute {
    let mut outcomes = [0; OUTCOMES];
    for (place, outcome) in outcomes.iter_mut().enumerate() {
        *outcome = now.outcomes[place].saturating_sub(before.outcomes[place]);
    }
    let earlier = before.buckets.iter().copied().chain(std::iter::repeat(0));
    ProviderMinute {
        outcomes,
        buckets: now.buckets.iter().zip(earlier).map(|(now, before)| now.saturating_sub(before)).collect(),
        segments: now.segments.saturating_sub(before.segments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(accepted: u64, calls: u64) -> Totals {
        let mut outcomes = [0; OUTCOMES];
        outcomes[Outcome::Accepted.index()] = calls;
        let provider = ProviderTotals { outcomes, buckets: vec![0, calls, 0], segments: calls };
        Totals { accepted, submitted: calls, failed: 0, providers: BTreeMap::from([("a".to_owned(), provider)]) }
    }

    #[test]
    fn what_happened_since_the_last_look_belongs_to_its_minute() {
        let history = History::default();
        let at = |seconds: i64| Timestamp::from_millis(1_800_000_000_000 / MINUTE_MS * MINUTE_MS + seconds * 1_000);
        // What was counted before the first look was long ago.
        let sample = |seconds, totals| history.sample(at(seconds), [("here", &totals)]);
        sample(0, totals(1_000, 500));
        sample(30, totals(1_060, 530));
        sample(61, totals(1_100, 530));
        let minutes = history.minutes(at(61));
        assert_eq!(minutes.len(), MINUTES);
        assert_eq!((minutes[59].accepted, minutes[60].accepted, minutes[58].accepted), (60, 40, 0));
        assert_eq!(history.lately("a", at(61), 5).calls(), 30);
        assert!((history.rates().accepted - 100.0 / 61.0).abs() < 0.01);
    }

    #[test]
    fn every_process_counts_from_when_it_was_first_seen() {
        let (history, at) = (History::default(), |seconds: i64| Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000));
        history.sample(at(0), [("here", &totals(10, 0))]);
        history.sample(at(5), [("here", &totals(20, 0)), ("there", &totals(0, 900))]);
        history.sample(at(10), [("here", &totals(30, 0)), ("there", &totals(0, 905))]);
        // Away for a moment, and back.
        history.sample(at(15), [("here", &totals(30, 0))]);
        history.sample(at(20), [("here", &totals(30, 0)), ("there", &totals(0, 915))]);
        assert_eq!((history.lately("a", at(20), 5).calls(), history.rates().accepted), (15, 1.0));
        history.sample(at(20 + 3_601), [("here", &totals(30, 0))]);
        assert_eq!(history.0.lock().unwrap().last.keys().collect::<Vec<_>>(), ["here"], "who is silent is forgotten");
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let minute = ProviderMinute { buckets: vec![50, 50, 0], ..ProviderMinute::default() };
        let bounds = [0.1, 0.2];
        assert_eq!(minute.quantile(0.5, &bounds), Some(Duration::from_millis(100)));
        assert_eq!(minute.quantile(0.75, &bounds), Some(Duration::from_millis(150)));
        assert_eq!(ProviderMinute::default().quantile(0.5, &bounds), None);
    }
}
