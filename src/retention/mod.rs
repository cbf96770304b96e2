//! Data that is not needed any more leaves by itself, and one recipient's data leaves when it is to.
//!
//! Closed messages are deleted when their category's time is over, with attempts, receipts and look-ups; a message that is not
//! closed stays, however old it is. Work is done in small steps with pauses between them, so that messages hardly feel it:
//! whole weeks are dropped where the store keeps weeks, rows one by one elsewhere. A round begins an hour after the last and
//! goes on where that ended; once a day one begins at the oldest message, for those that were not closed the first time.
//!
//! Several processes may do this at once: each step asks the store what is there now.

pub mod recipient;

use std::{sync::Arc, time::Duration};

use tidings_core::{id::MessageId, message::Category, time::Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config,
    control::{Control, POLL},
    store::{Error, Messages},
    telemetry::Metrics,
};

/// Between two rounds: what is old by days is not urgent.
const EVERY: Duration = Duration::from_hours(1);
/// After the start, when caches are cold and the backlog is largest, messages come first.
const FIRST_AFTER: Duration = Duration::from_mins(1);
/// Between two steps that deleted something: the store's writer is there for messages.
const PAUSE: Duration = Duration::from_millis(20);
/// So often a round begins at the oldest message.
const WHOLE_EVERY: Duration = Duration::from_hours(24);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub messages: u64,
    pub weeks: u64,
}

/// Deletes what is old enough.
pub struct Retention {
    pub messages: Arc<dyn Messages>,
    pub control: Arc<Control>,
    pub periods: config::Retention,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    progress: Progress,
}

/// How far the last round came, by category.
#[derive(Debug, Default)]
struct Progress {
    after: [Option<MessageId>; Category::ALL.len()],
    whole_at: Option<Timestamp>,
}

impl Retention {
    pub fn new(
        messages: Arc<dyn Messages>,
        control: Arc<Control>,
        periods: config::Retention,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { messages, control, periods, clock, metrics, progress: Progress::default() }
    }

    /// Works until `stop`: orders within a second or two, retention every hour.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(POLL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next_round = self.clock.moment() + FIRST_AFTER;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            let work = async {
                self.carry_out_orders().await;
                if self.clock.moment() >= next_round {
                    self.log_round().await;
                    next_round = self.clock.moment() + EVERY;
                }
            };
            // Every step is whole in itself: what is given up here is found by the next process.
            if stop.run_until_cancelled(work).await.is_none() {
                return;
            }
        }
    }

    async fn log_round(&mut self) {
        let began = self.clock.moment();
        match self.round(self.clock.now()).await {
            Ok(round) if round != Round::default() => {
                let duration_ms = self.clock.moment().since(began).as_millis() as u64;
                tracing::info!(messages = round.messages, weeks = round.weeks, duration_ms, "messages that were old enough are deleted");
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.retention.failures.inc();
                tracing::warn!(error = &error as &dyn std::error::Error, "a round of retention was given up; the next goes on");
            }
        }
    }

    /// One round: everything that is old enough at `now`.
    ///
    /// # Errors
    /// The store is away; what was deleted until then is deleted.
    pub async fn round(&mut self, now: Timestamp) -> Result<Round, Error> {
        let mut round = Round::default();
        if self.progress.whole_at.is_none_or(|at| now.since(at) >= WHOLE_EVERY) {
            self.progress = Progress { whole_at: Some(now), ..Progress::default() };
        }
        let all = [self.periods.otp, self.periods.transactional, self.periods.marketing];
        if let [Some(otp), Some(transactional), Some(marketing)] = all {
            let longest = otp.max(transactional).max(marketing);
            while self.messages.forget_span(now - longest).await? {
                round.weeks += 1;
                self.metrics.retention.weeks.inc();
                tokio::time::sleep(PAUSE).await;
            }
        }
        for (category, period) in Category::ALL.iter().zip(all) {
            if let Some(period) = period {
                round.messages += self.forget(*category, now - period).await?;
            }
        }
        let mut mark = None;
        while let Some(next) = self.messages.sweep(mark, now).await? {
            mark = Some(next);
            tokio::time::sleep(PAUSE).await;
        }
        self.metrics.retention.completed.set(now.as_millis() / 1_000);
        Ok(round)
    }

    async fn forget(&mut self, category: Category, before: Timestamp) -> Result<u64, Error> {
        let mut messages = 0;
        loop {
            let after = self.progress.after[category.index()];
            let step = self.messages.forget(category, before, after).await?;
            messages += step.messages;
            self.metrics.retention.forgotten.get(category).inc_by(step.messages);
            let Some(next) = step.next else { return Ok(messages) };
            self.progress.after[category.index()] = Some(next);
            if step.messages > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
