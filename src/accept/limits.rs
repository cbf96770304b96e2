//! How much an app may send: messages a second, messages a day, messages to one recipient.
//!
//! The rate is a generic cell rate (one number an app: when its bucket is empty again), so a second never carries more
//! than twice the limit and ten seconds never more than eleven times. Quotas count the accepted messages of a UTC day.
//! Counts are this process's own; a restart reads the day's count from the store once ([`Limits::needs_count`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tidings_core::{
    id::AppId,
    message::Category,
    time::{Moment, Timestamp},
};

use super::refusal::{Reached, Refusal};
use crate::control::model::App;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Recipients that are counted at once; beyond it the windows that end first are forgotten.
const MAX_RECIPIENTS: usize = 500_000;

/// What an app has used.
#[derive(Debug, Default)]
struct Usage {
    /// When the bucket is empty again, as time since start.
    empty_at: Duration,
    /// Days since 1970.
    day: i64,
    today: u64,
    /// Whether `today` includes what was accepted before this process began.
    counted: bool,
}

type Window = (AppId, Category, [u8; 16]);

/// How often a recipient was written to within a window, and when it ends.
#[derive(Clone, Copy, Debug)]
struct Written {
    times: u32,
    ends: Timestamp,
}

#[derive(Debug, Default)]
pub struct Limits {
    apps: RwLock<HashMap<AppId, Arc<Mutex<Usage>>>>,
    recipients: Mutex<HashMap<Window, Written>>,
}

/// When it is.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub time: Timestamp,
    pub moment: Moment,
}

impl Limits {
    fn usage(&self, app: AppId) -> Arc<Mutex<Usage>> {
        if let Some(usage) = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&app) {
            return usage.clone();
        }
        self.apps.write().unwrap_or_else(PoisonError::into_inner).entry(app).or_default().clone()
    }

    /// Whether today's count of this app has to be read from the store before [`Self::take`] means anything: then from when.
    pub fn needs_count(&self, app: &App, now: Timestamp) -> Option<Timestamp> {
        if app.daily_quota == 0 {
            return None;
        }
        let usage = self.usage(app.id);
        let usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
        let today = now.as_millis().div_euclid(DAY_MS);
        // A day that began while we were counting is counted whole.
        (!usage.counted && usage.day <= today).then(|| Timestamp::from_millis(today * DAY_MS))
    }

    /// What the store says was accepted today.
    pub fn counted(&self, app: AppId, accepted: u64, now: Timestamp) {
        let usage = self.usage(app);
        let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
        if !usage.counted {
            usage.roll(now);
            usage.today = usage.today.max(accepted);
            usage.counted = true;
        }
    }

    /// Takes one message from the app's rate and quota.
    pub fn take(&self, app: &App, now: Now) -> Result<(), Refusal> {
        if app.max_per_s == 0 && app.daily_quota == 0 {
            return Ok(());
        }
        let usage = self.usage(app.id);
        let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.roll(now.time);
        if app.daily_quota > 0 && usage.today >= app.daily_quota {
            let reset = until_midnight(now.time);
            return Err(Refusal::QuotaExceeded(Reached {
                name: "app_daily",
                limit: app.daily_quota,
                remaining: 0,
                reset,
                retry_after: reset,
            }));
        }
        if app.max_per_s > 0 {
            usage.take_rate(app.max_per_s, now.moment.since_start())?;
        }
        usage.today += 1;
        Ok(())
    }

    /// Gives back a message that was not accepted after all.
    pub fn give_back(&self, app: &App, now: Now) {
        if app.max_per_s == 0 && app.daily_quota == 0 {
            return;
        }
        let usage = self.usage(app.id);
        let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.roll(now.time);
        usage.today = usage.today.saturating_sub(1);
        if app.max_per_s > 0 {
            usage.empty_at = usage.empty_at.saturating_sub(Duration::from_secs(1) / app.max_per_s);
        }
    }

    /// Counts a message to a recipient, who is known by a hash, against the app's caps.
    pub fn take_recipient(&self, app: &App, category: Category, recipient: [u8; 16], now: Timestamp) -> Result<(), Refusal> {
        let Some(cap) = app.recipient_caps.iter().find(|cap| cap.category == category) else { return Ok(()) };
        let mut recipients = self.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        if recipients.len() >= MAX_RECIPIENTS {
            recipients.retain(|_, written| written.ends > now);
        }
        let fresh = Written { times: 0, ends: now + Duration::from_secs(cap.window_s.into()) };
        let written = recipients.entry((app.id, category, recipient)).or_insert(fresh);
        if written.ends <= now {
            *written = fresh;
        }
        if written.times >= cap.max {
            let reset = written.ends.since(now);
            let limit = cap.max.into();
            return Err(Refusal::RecipientCapped(Reached { name: "recipient", limit, remaining: 0, reset, retry_after: reset }));
        }
        written.times += 1;
        Ok(())
    }
}

impl Usage {
    fn roll(&mut self, now: Timestamp) {
        let day = now.as_millis().div_euclid(DAY_MS);
        if day > self.day {
            // The first day that this process sees may have begun before it; every later one is its own.
            self.counted = self.counted || self.day > 0;
            self.day = day;
            self.today = 0;
        }
    }

    /// A bucket that holds a second's worth and empties steadily.
    fn take_rate(&mut self, per_s: u32, now: Duration) -> Result<(), Refusal> {
        let each = Duration::from_secs(1) / per_s;
        let filled = self.empty_at.saturating_sub(now);
        // One part in a thousand of slack: `each` is rounded to nanoseconds.
        if filled + each > Duration::from_secs(1) + each / 1_000 {
            let retry_after = (filled + each).saturating_sub(Duration::from_secs(1));
            return Err(Refusal::RateLimited(Reached {
                name: "app_per_second",
                limit: per_s.into(),
                remaining: 0,
                reset: filled,
                retry_after,
            }));
        }
        self.empty_at = now.max(self.empty_at) + each;
        Ok(())
    }
}

fn until_midnight(now: Timestamp) -> Duration {
    Duration::from_millis((DAY_MS - now.as_millis().rem_euclid(DAY_MS)).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use tidings_core::message::Category;

    use super::*;
    use crate::control::model::{ActorId, RecipientCap};

    const DAY: i64 = 20_000 * DAY_MS;

    fn app(max_per_s: u32, daily_quota: u64) -> App {
        let id = AppId::new(Timestamp::default(), [1; 10]);
        App { max_per_s, daily_quota, ..App::new(id, "shop", Timestamp::default(), ActorId::system()) }
    }

    fn at(millis: i64) -> Now {
        Now { time: Timestamp::from_millis(DAY + millis), moment: Moment::from_start(Duration::from_millis(millis.unsigned_abs())) }
    }

    #[test]
    fn a_second_carries_its_limit_and_then_one_message_a_step() {
        let (limits, app) = (Limits::default(), app(10, 0));
        let taken = (0..50).filter(|_| limits.take(&app, at(1_000)).is_ok()).count();
        assert_eq!(taken, 10);
        let Err(Refusal::RateLimited(reached)) = limits.take(&app, at(1_000)) else { panic!("the bucket is full") };
        assert_eq!((reached.name, reached.limit, reached.remaining), ("app_per_second", 10, 0));
        assert_eq!(reached.retry_after.as_millis(), 100);
        assert!(limits.take(&app, at(1_100)).is_ok());
        assert!(limits.take(&app, at(1_100)).is_err());
        limits.give_back(&app, at(1_100));
        assert!(limits.take(&app, at(1_100)).is_ok(), "what was given back can be taken again");
    }

    #[test]
    fn a_quota_lasts_until_midnight_utc_and_survives_a_restart_by_the_stores_count() {
        let (limits, app) = (Limits::default(), app(0, 3));
        assert_eq!(limits.needs_count(&app, at(5_000).time), Some(Timestamp::from_millis(DAY)));
        limits.counted(app.id, 2, at(5_000).time);
        assert_eq!(limits.needs_count(&app, at(5_000).time), None);
        assert!(limits.take(&app, at(5_000)).is_ok());
        let Err(Refusal::QuotaExceeded(reached)) = limits.take(&app, at(5_000)) else { panic!("the quota is used up") };
        assert_eq!((reached.name, reached.limit, reached.reset), ("app_daily", 3, Duration::from_millis(DAY_MS as u64 - 5_000)));
        assert!(limits.take(&app, at(DAY_MS)).is_ok(), "a new day");
        assert_eq!(limits.needs_count(&app, at(DAY_MS).time), None);
    }

    #[test]
    fn a_recipient_hears_from_an_app_as_often_as_its_cap_says() {
        let limits = Limits::default();
        let cap = RecipientCap { category: Category::Marketing, max: 2, window_s: 60 };
        let app = App { recipient_caps: vec![cap], ..app(0, 0) };
        let write = |to: u8, category, millis| limits.take_recipient(&app, category, [to; 16], at(millis).time);
        assert!(write(1, Category::Marketing, 0).is_ok() && write(1, Category::Marketing, 1).is_ok());
        assert!(matches!(write(1, Category::Marketing, 2), Err(Refusal::RecipientCapped(_))));
        assert!(write(2, Category::Marketing, 2).is_ok() && write(1, Category::Otp, 2).is_ok());
        assert!(write(1, Category::Marketing, 60_000).is_ok(), "the window has ended");
    }
}
