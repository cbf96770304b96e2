//! How much an app may send: so many messages a second, a day, a month (UTC).
//!
//! The rate is a generic cell rate (one number: when the app's bucket is empty again), so a second never carries more than
//! twice the limit and ten seconds never more than eleven times. Quotas count messages of a calendar day and month.
//! [`Usage`] decides; where it is kept is the keeper's business: in the process, in PostgreSQL, or in Redis, whose script
//! does the same steps. A keeper that has not counted from the beginning says so instead of guessing.

use std::time::Duration;

use async_trait::async_trait;
use tidings_core::{id::AppId, time::Timestamp};

use super::Away;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// What an app may send; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub per_s: u32,
    pub daily: u64,
    pub monthly: u64,
}

impl Allowance {
    pub const fn is_unbounded(&self) -> bool {
        self.per_s == 0 && self.daily == 0 && self.monthly == 0
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Second,
    Day,
    Month,
}

/// Why fewer were granted than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub bound: Bound,
    /// Until it is whole again.
    pub reset: Duration,
    /// Until one more may be granted.
    pub retry_after: Duration,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// All that was asked for.
    All,
    /// So many, perhaps none.
    Some(u32, Stop),
    /// The keeper does not know what was used of the day or the month: count, [`Allowances::learn`], ask again.
    NotCounted,
}

/// What was sent since the day and the month began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub today: u64,
    pub this_month: u64,
}

/// Keeps what apps have used.
#[async_trait]
pub trait Allowances: Send + Sync {
    /// Takes up to `want` messages. `now` says which day it is; the rate goes by the keeper's own clock.
    async fn take(&self, app: AppId, allowance: Allowance, want: u32, now: Timestamp) -> Result<Granted, Away>;

    /// Gives back what was taken and not sent.
    async fn give_back(&self, app: AppId, allowance: Allowance, count: u32, now: Timestamp) -> Result<(), Away>;

    /// Tells what was sent before the keeper began to count. Whoever tells first is believed.
    async fn learn(&self, app: AppId, sent: Sent, now: Timestamp) -> Result<(), Away>;
}

/// A day and a month of the calendar, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Days since 1970.
    pub day: i64,
    /// Months since the year 0.
    pub month: i64,
    now: Timestamp,
}

impl Calendar {
    pub fn of(now: Timestamp) -> Self {
        let day = now.as_millis().div_euclid(DAY_MS);
        let (year, month, _) = civil(day);
        Self { day, month: year * 12 + month - 1, now }
    }

    pub fn day_began(&self) -> Timestamp {
        Timestamp::from_millis(self.day * DAY_MS)
    }

    pub fn month_began(&self) -> Timestamp {
        Timestamp::from_millis(first_day(self.month) * DAY_MS)
    }

    /// How a bound stands that has no room until its time is over.
    pub fn until_over(&self, bound: Bound) -> Stop {
        let next = match bound {
            Bound::Month => first_day(self.month + 1),
            Bound::Day | Bound::Second => self.day + 1,
        };
        let reset = Timestamp::from_millis(next * DAY_MS).since(self.now);
        Stop { bound, reset, retry_after: reset }
    }
}

/// Year, month and day of a number of days since 1970: Howard Hinnant's `civil_from_days`.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as i64, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// Days since 1970 of the first day of a month: `days_from_civil`.
const fn first_day(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let year = year - (month <= 2) as i64;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// What an app has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// When its bucket is empty again, in nanoseconds of the keeper's clock.
    pub empty_at: i64,
    pub day: i64,
    /// Messages of that day; nothing where they were not counted from its beginning.
    pub today: Option<u64>,
    pub month: i64,
    pub this_month: Option<u64>,
}

impl Usage {
    /// Takes up to `want`; `clock` is the keeper's, in nanoseconds.
    pub fn take(&mut self, allowance: Allowance, want: u32, calendar: Calendar, clock: i64) -> Granted {
        self.roll(calendar);
        if allowance.daily > 0 && self.today.is_none() || allowance.monthly > 0 && self.this_month.is_none() {
            return Granted::NotCounted;
        }
        let left = |quota: u64, used: Option<u64>| if quota == 0 { u64::MAX } else { quota.saturating_sub(used.unwrap_or(0)) };
        let (of_month, of_day) = (left(allowance.monthly, self.this_month), left(allowance.daily, self.today));
        let of_second = self.room(allowance.per_s, clock);
        let room = of_month.min(of_day).min(of_second);
        let granted = u32::try_from(room).unwrap_or(u32::MAX).min(want);
        self.use_up(allowance.per_s, granted, clock);
        if granted == want {
            return Granted::All;
        }
        let stop = if room == of_month {
            calendar.until_over(Bound::Month)
        } else if room == of_day {
            calendar.until_over(Bound::Day)
        } else {
            self.full(allowance.per_s, clock)
        };
        Granted::Some(granted, stop)
    }

    pub fn give_back(&mut self, allowance: Allowance, count: u32, calendar: Calendar) {
        self.roll(calendar);
        self.today = self.today.map(|today| today.saturating_sub(count.into()));
        self.this_month = self.this_month.map(|month| month.saturating_sub(count.into()));
        if allowance.per_s > 0 {
            self.empty_at -= SECOND_NS * i64::from(count) / i64::from(allowance.per_s);
        }
    }

    pub fn learn(&mut self, sent: Sent, calendar: Calendar) {
        self.roll(calendar);
        self.today.get_or_insert(sent.today);
        self.this_month.get_or_insert(sent.this_month);
    }

    fn roll(&mut self, Calendar { day, month, .. }: Calendar) {
        if day > self.day {
            (self.day, self.today) = (day, self.today.map(|_| 0));
        }
        if month > self.month {
            (self.month, self.this_month) = (month, self.this_month.map(|_| 0));
        }
    }

    /// Messages that fit into the bucket, which holds a second's worth and empties steadily.
    fn room(&self, per_s: u32, clock: i64) -> u64 {
        if per_s == 0 {
            return u64::MAX;
        }
        let filled = (self.empty_at - clock).max(0);
        // A part in a thousand of slack: what one message takes is rounded.
        let each = SECOND_NS / i64::from(per_s);
        u64::try_from((SECOND_NS + each / 1_000 - filled) / each.max(1)).unwrap_or(0)
    }

    fn use_up(&mut self, per_s: u32, count: u32, clock: i64) {
        if per_s > 0 {
            self.empty_at = self.empty_at.max(clock) + SECOND_NS * i64::from(count) / i64::from(per_s);
        }
        self.today = self.today.map(|today| today + u64::from(count));
        self.this_month = self.this_month.map(|month| month + u64::from(count));
    }

    fn full(&self, per_s: u32, clock: i64) -> Stop {
        stop_of_second(per_s, (self.empty_at - clock).max(0))
    }
}

/// How a bucket stands that is filled so far, in nanoseconds.
pub fn stop_of_second(per_s: u32, filled: i64) -> Stop {
    let each = SECOND_NS / i64::from(per_s.max(1));
    let nanos = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    Stop { bound: Bound::Second, reset: nanos(filled), retry_after: nanos(filled + each - SECOND_NS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Allowance = Allowance { per_s: 10, daily: 0, monthly: 0 };

    fn calendar(text: &str) -> Calendar {
        Calendar::of(text.parse().unwrap())
    }

    #[test]
    fn a_second_carries_its_limit_and_then_one_message_a_step() {
        let (mut usage, today) = (Usage::default(), calendar("2026-03-01T10:00:00Z"));
        let Granted::Some(10, stop) = usage.take(RATE, 50, today, SECOND_NS) else { panic!("ten fit into a second") };
        assert_eq!((stop.bound, stop.reset.as_millis(), stop.retry_after.as_millis()), (Bound::Second, 1_000, 100));
        assert_eq!(usage.take(RATE, 1, today, SECOND_NS * 11 / 10), Granted::All);
        assert!(matches!(usage.take(RATE, 1, today, SECOND_NS * 11 / 10), Granted::Some(0, _)));
        usage.give_back(RATE, 1, today);
        assert_eq!(usage.take(RATE, 1, today, SECOND_NS * 11 / 10), Granted::All, "what was given back can be taken again");
    }

    #[test]
    fn a_quota_lasts_until_its_day_or_month_is_over_and_is_counted_first() {
        let quota = Allowance { per_s: 0, daily: 3, monthly: 5 };
        let mut usage = Usage::default();
        let today = calendar("2026-12-31T23:59:50Z");
        assert_eq!(usage.take(quota, 1, today, 0), Granted::NotCounted);
        usage.learn(Sent { today: 1, this_month: 2 }, today);
        let Granted::Some(2, stop) = usage.take(quota, 4, today, 0) else { panic!("two of the day are left") };
        assert_eq!((stop.bound, stop.reset.as_secs()), (Bound::Day, 10));
        let new_year = calendar("2027-01-01T00:00:00Z");
        let Granted::Some(3, _) = usage.take(quota, 9, new_year, 0) else { panic!("a new day") };
        let next_day = calendar("2027-01-02T00:00:00Z");
        let Granted::Some(2, stop) = usage.take(quota, 9, next_day, 0) else { panic!("two of the month are left") };
        assert_eq!((stop.bound, stop.reset.as_secs()), (Bound::Month, 30 * 86_400));
    }

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (text, began, month_began) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2024-02-29T23:59:59Z", "2024-02-29T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2100-12-31T12:00:00Z", "2100-12-31T00:00:00Z", "2100-12-01T00:00:00Z"),
        ] {
            let calendar = calendar(text);
            let wanted: (Timestamp, Timestamp) = (began.parse().unwrap(), month_began.parse().unwrap());
            assert_eq!((calendar.day_began(), calendar.month_began()), wanted, "{text}");
        }
    }
}
