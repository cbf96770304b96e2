//! How much an app may send: messages a second, a day, a month, and to one recipient.
//!
//! What an app used is kept where all processes see it ([`Allowances`]): in Redis, else in PostgreSQL; the embedded rung is one
//! process and keeps it itself. While that keeper is away each process goes by the whole bound, counted alone: for that time
//! nobody can tell how many others accept. A request takes what it needs at once and gives back what it did not use
//! ([`Purse`]), so that a batch asks once.
//!
//! How often a recipient was written to is asked of the store, and counted here for what is not in it yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidings_core::{id::AppId, message::Category, time::Timestamp};

use super::refusal::{Reached, Refusal};
use crate::{
    control::model::{App, RecipientCap},
    shared::allowance::{Allowance, Allowances, Bound, Granted, Sent, Stop},
};

/// Recipients that are counted at once; beyond it the windows that are over are forgotten.
const MAX_RECIPIENTS: usize = 500_000;

/// What is needed to count what an app sent before its keeper began to.
pub trait Counted: Sync {
    fn count(&self, app: AppId) -> impl Future<Output = Option<Sent>> + Send;
}

type Window = (AppId, Category, u32, [u8; 16]);

/// When a recipient was written to within a window, as far as this process knows.
#[derive(Clone, Copy, Debug)]
struct Written {
    times: u32,
    ends: Timestamp,
}

pub struct Limits {
    keeper: Arc<dyn Allowances>,
    /// Used while the keeper is away.
    own: Arc<dyn Allowances>,
    recipients: Mutex<HashMap<Window, Written>>,
}

/// Messages that a request may still send.
#[derive(Debug, Default)]
pub struct Purse {
    /// Items of the request that may still need one.
    wanted: u32,
    left: u32,
    /// The bound that stopped this request: its other items are not asked about again.
    stopped: Option<Stop>,
}

impl Purse {
    /// For a request of so many messages.
    pub fn of(wanted: usize) -> Self {
        Self { wanted: u32::try_from(wanted).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// A message for which something was taken was not sent after all.
    pub const fn put_back(&mut self) {
        self.left += 1;
    }
}

const fn allowance(app: &App) -> Allowance {
    Allowance { per_s: app.max_per_s, daily: app.daily_quota, monthly: app.monthly_quota }
}

impl Limits {
    pub fn new(keeper: Arc<dyn Allowances>, own: Arc<dyn Allowances>) -> Self {
        Self { keeper, own, recipients: Mutex::default() }
    }

    /// Takes one message out of the purse, which is filled when it is empty.
    pub async fn take(&self, app: &App, purse: &mut Purse, counted: &impl Counted, now: Timestamp) -> Result<(), Refusal> {
        let allowance = allowance(app);
        if allowance.is_unbounded() {
            return Ok(());
        }
        if purse.left == 0 && purse.stopped.is_none() {
            let want = purse.wanted.max(1);
            (purse.left, purse.stopped) = match self.fill(app.id, allowance, want, counted, now).await {
                Granted::Some(granted, stop) => (granted, Some(stop)),
                Granted::All | Granted::NotCounted => (want, None),
            };
        }
        purse.wanted = purse.wanted.saturating_sub(1);
        match (purse.left.checked_sub(1), purse.stopped) {
            (Some(left), _) => {
                purse.left = left;
                Ok(())
            }
            (None, Some(stop)) => Err(refused(allowance, stop)),
            (None, None) => Ok(()),
        }
    }

    async fn fill(&self, app: AppId, allowance: Allowance, want: u32, counted: &impl Counted, now: Timestamp) -> Granted {
        if let Ok(granted) = ask(&*self.keeper, app, allowance, want, counted, now).await {
            return granted;
        }
        // The process's own keeper is never away.
        ask(&*self.own, app, allowance, want, counted, now).await.unwrap_or(Granted::All)
    }

    /// Gives back what the request did not use.
    pub async fn close(&self, app: &App, purse: Purse, now: Timestamp) {
        if purse.left > 0 {
            // What cannot be given back because the keeper is away counts as sent: a limit errs downwards.
            drop(self.keeper.give_back(app.id, allowance(app), purse.left, now).await);
        }
    }

    /// Counts a message to a recipient, who is known by a hash, against a cap. `stored` is how many the store knows, and when
    /// the first of them was accepted.
    pub fn take_recipient(
        &self,
        app: AppId,
        cap: &RecipientCap,
        recipient: [u8; 16],
        stored: (u32, Option<Timestamp>),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let window = Duration::from_secs(cap.window_s.into());
        let mut recipients = self.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        if recipients.len() >= MAX_RECIPIENTS {
            recipients.retain(|_, written| written.ends > now);
        }
        let fresh = Written { times: 0, ends: now + window };
        let written = recipients.entry((app, cap.category, cap.window_s, recipient)).or_insert(fresh);
        if written.ends <= now {
            *written = fresh;
        }
        let (known, first) = stored;
        if let (true, Some(first)) = (known > written.times, first) {
            (written.times, written.ends) = (known, first + window);
        }
        if written.times >= cap.max {
            let (reset, limit) = (written.ends.since(now), cap.max.into());
            return Err(Refusal::RecipientCapped(Reached { name: "recipient", limit, remaining: 0, reset, retry_after: reset }));
        }
        written.times += 1;
        Ok(())
    }

    /// The message was not sent after all.
    pub fn give_back_recipient(&self, app: AppId, cap: &RecipientCap, recipient: [u8; 16]) {
        let mut recipients = self.recipients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = recipients.get_mut(&(app, cap.category, cap.window_s, recipient)) {
            written.times = written.times.saturating_sub(1);
        }
    }
}

/// Asks a keeper; one that has not counted is told what the store says.
async fn ask(
    keeper: &dyn Allowances,
    app: AppId,
    allowance: Allowance,
    want: u32,
    counted: &impl Counted,
    now: Timestamp,
) -> Result<Granted, crate::shared::Away> {
    let granted = keeper.take(app, allowance, want, now).await?;
    if granted != Granted::NotCounted {
        return Ok(granted);
    }
    // The store is away as well: nobody knows, and sending goes on; what is sent now counts from here.
    let sent = counted.count(app).await.unwrap_or_default();
    keeper.learn(app, sent, now).await?;
    keeper.take(app, allowance, want, now).await
}

fn refused(allowance: Allowance, stop: Stop) -> Refusal {
    let Stop { bound, reset, retry_after } = stop;
    let reached = |name, limit| Reached { name, limit, remaining: 0, reset, retry_after };
    match bound {
        Bound::Second => Refusal::RateLimited(reached("app_per_second", allowance.per_s.into())),
        Bound::Day => Refusal::QuotaExceeded(reached("app_daily", allowance.daily)),
        Bound::Month => Refusal::QuotaExceeded(reached("app_monthly", allowance.monthly)),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{
        clock::Clock,
        control::model::ActorId,
        shared::{Away, InProcess},
    };

    fn app(max_per_s: u32, daily_quota: u64, monthly_quota: u64) -> App {
        let id = AppId::new(Timestamp::default(), [1; 10]);
        App { max_per_s, daily_quota, monthly_quota, ..App::new(id, "shop", Timestamp::default(), ActorId::system()) }
    }

    /// What the store says was sent before.
    struct Before(u64);

    impl Counted for Before {
        async fn count(&self, _: AppId) -> Option<Sent> {
            Some(Sent { today: self.0, this_month: self.0 })
        }
    }

    struct NobodyHome;

    #[async_trait]
    impl Allowances for NobodyHome {
        async fn take(&self, _: AppId, _: Allowance, _: u32, _: Timestamp) -> Result<Granted, Away> {
            Err(Away(anyhow::anyhow!("away")))
        }
        async fn give_back(&self, _: AppId, _: Allowance, _: u32, _: Timestamp) -> Result<(), Away> {
            Err(Away(anyhow::anyhow!("away")))
        }
        async fn learn(&self, _: AppId, _: Sent, _: Timestamp) -> Result<(), Away> {
            Err(Away(anyhow::anyhow!("away")))
        }
    }

    fn kept_here() -> Arc<dyn Allowances> {
        Arc::new(InProcess::new(Clock::system()))
    }

    async fn send(limits: &Limits, app: &App, before: u64, messages: usize) -> (usize, Option<Refusal>) {
        let now = Clock::system().now();
        let mut purse = Purse::of(messages);
        let (mut sent, mut refusal) = (0, None);
        for _ in 0..messages {
            match limits.take(app, &mut purse, &Before(before), now).await {
                Ok(()) => sent += 1,
                Err(error) => refusal = Some(error),
            }
        }
        limits.close(app, purse, now).await;
        (sent, refusal)
    }

    #[tokio::test]
    async fn a_quota_includes_what_was_sent_before_this_process_began() {
        let limits = Limits::new(kept_here(), kept_here());
        let (sent, refusal) = send(&limits, &app(0, 5, 0), 2, 9).await;
        let Some(Refusal::QuotaExceeded(reached)) = refusal else { panic!("the quota is used up") };
        assert_eq!((sent, reached.name, reached.limit, reached.remaining), (3, "app_daily", 5, 0));
        let limits = Limits::new(kept_here(), kept_here());
        let (sent, refusal) = send(&limits, &app(0, 100, 5), 4, 9).await;
        let Some(Refusal::QuotaExceeded(reached)) = refusal else { panic!("the quota is used up") };
        assert_eq!((sent, reached.name, reached.limit), (1, "app_monthly", 5));
    }

    #[tokio::test]
    async fn processes_with_one_keeper_share_a_limit_and_without_it_each_goes_by_the_whole() {
        let keeper = kept_here();
        let (one, other) = (Limits::new(Arc::clone(&keeper), kept_here()), Limits::new(keeper, kept_here()));
        let app = app(0, 10, 0);
        assert_eq!((send(&one, &app, 0, 7).await.0, send(&other, &app, 0, 7).await.0), (7, 3));
        let alone = Limits::new(Arc::new(NobodyHome), kept_here());
        assert_eq!(send(&alone, &app, 0, 12).await.0, 10);
    }

    #[tokio::test]
    async fn what_a_request_did_not_use_can_be_used_by_the_next() {
        let limits = Limits::new(kept_here(), kept_here());
        let (app, now) = (app(0, 10, 0), Clock::system().now());
        let mut purse = Purse::of(10);
        limits.take(&app, &mut purse, &Before(0), now).await.unwrap();
        purse.put_back();
        limits.close(&app, purse, now).await;
        assert_eq!(send(&limits, &app, 0, 10).await.0, 10);
    }

    #[test]
    fn a_recipient_hears_from_an_app_as_often_as_its_caps_say() {
        let limits = Limits::new(kept_here(), kept_here());
        let cap = RecipientCap { category: Category::Marketing, max: 2, window_s: 60 };
        let id = app(0, 0, 0).id;
        let at = |seconds| Timestamp::from_millis(1_700_000_000_000) + Duration::from_secs(seconds);
        let write = |to: u8, stored, seconds| limits.take_recipient(id, &cap, [to; 16], stored, at(seconds));
        let nothing = (0, None);
        assert!(write(1, nothing, 0).is_ok() && write(1, nothing, 1).is_ok());
        let Err(Refusal::RecipientCapped(reached)) = write(1, nothing, 2) else { panic!("twice is enough") };
        assert_eq!((reached.limit, reached.reset.as_secs()), (2, 58));
        assert!(write(2, nothing, 2).is_ok());
        assert!(write(1, nothing, 60).is_ok(), "the window has ended");
        assert!(write(3, (2, Some(at(50))), 70).is_err(), "another process wrote twice");
        limits.give_back_recipient(id, &cap, [2; 16]);
        assert!(write(2, nothing, 3).is_ok() && write(2, nothing, 3).is_ok());
    }
}
