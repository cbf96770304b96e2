//! What apps may send, counted by scripts inside Redis and by its clock: one call for all bounds of an app.

use std::time::Duration;

use async_trait::async_trait;
use tidings_core::{id::AppId, time::Timestamp};

use super::{Redis, millis, nonsense};
use crate::shared::{
    Away,
    allowance::{Allowance, Allowances, Bound, Calendar, Granted, Sent, stop_of_second},
};

/// Longer than the longest month: what an app used is forgotten when it does not count any more.
const KEEP: Duration = Duration::from_hours(32 * 24);

impl Redis {
    fn usage(&self, app: AppId) -> String {
        self.key("usage", app.uuid().simple())
    }
}

#[async_trait]
impl Allowances for Redis {
    async fn take(&self, app: AppId, allowance: Allowance, want: u32, now: Timestamp) -> Result<Granted, Away> {
        let calendar = Calendar::of(now);
        let mut invocation = self.scripts.take.prepare_invoke();
        invocation.key(self.usage(app)).arg(want).arg(allowance.per_s).arg(allowance.daily).arg(allowance.monthly);
        invocation.arg(calendar.day).arg(calendar.month).arg(millis(KEEP));
        let (granted, bound, filled): (i64, i64, i64) = self.ask(async |connection| invocation.invoke_async(connection).await).await?;
        let Ok(granted) = u32::try_from(granted) else { return Ok(Granted::NotCounted) };
        Ok(match bound {
            0 => Granted::All,
            1 => Granted::Some(granted, stop_of_second(allowance.per_s, filled.saturating_mul(1_000))),
            2 => Granted::Some(granted, calendar.until_over(Bound::Day)),
            3 => Granted::Some(granted, calendar.until_over(Bound::Month)),
            _ => return Err(nonsense()),
        })
    }

    async fn give_back(&self, app: AppId, allowance: Allowance, count: u32, now: Timestamp) -> Result<(), Away> {
        let calendar = Calendar::of(now);
        let mut invocation = self.scripts.give_back.prepare_invoke();
        invocation.key(self.usage(app)).arg(count).arg(allowance.per_s).arg(calendar.day).arg(calendar.month);
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }

    async fn learn(&self, app: AppId, sent: Sent, now: Timestamp) -> Result<(), Away> {
        let calendar = Calendar::of(now);
        let mut invocation = self.scripts.learn.prepare_invoke();
        invocation.key(self.usage(app)).arg(calendar.day).arg(calendar.month).arg(sent.today).arg(sent.this_month).arg(millis(KEEP));
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }
}
