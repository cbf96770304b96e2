//! Kind `simulated`: a provider inside the process that reaches nobody.
//!
//! It is what test keys reach, what `make run` shows and what tests are fast with. It behaves as its settings say (latency,
//! errors, throttling, hanging, accepting and dropping) and its receipts enter by the same `ReceiptSink` as anybody's.
//! Questions are asked in the order of the simulator's model (hang, throttle, errors, recipient); a latency above the
//! call's time-out is ambiguous *and processed*, because that is what makes ambiguity worth its name.

mod outbox;
mod settings;
mod shape;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tidings_core::message::Channel;
use tokio::time::Instant;

pub use self::shape::Latency;
use self::{outbox::Outbox, settings::Config, shape::FixedOutcome};
use crate::{
    Accepted, Code, Context, Kind, Provider, Receipt, ReceiptError, ReceiptRequest, ReceiptStatus, SettingError, Settings, Submission,
    SubmitError,
};

pub const KIND: Kind = Kind {
    name: "simulated",
    channels: Channel::ALL,
    settings: settings::NAMES,
    secrets: &[],
    simulated: true,
    build: |name, settings, context| Ok(Arc::new(Simulated::build(name, settings, context)?)),
};

/// The window of `throttle_per_s`.
const SECOND: Duration = Duration::from_secs(1);
/// A fixed time-out need not last as long as a real one.
const FIXED_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Simulated {
    config: Config,
    dice: Mutex<SmallRng>,
    /// When the calls of the last second were let through, oldest first.
    recent: Mutex<VecDeque<Instant>>,
    outbox: Outbox,
}

/// What the dice say about one call, drawn at once so that the lock is short.
struct Draw {
    hangs: bool,
    fails: bool,
    latency: Duration,
    receipt_after: Duration,
    /// `None`: dropped, nobody will ever hear of it.
    receipt: Option<ReceiptStatus>,
    id: u64,
}

impl Simulated {
    pub(crate) fn build(name: &str, settings: &Settings, context: &Context) -> Result<Self, Vec<SettingError>> {
        Ok(Self {
            config: Config::read(settings)?,
            dice: Mutex::new(SmallRng::seed_from_u64((context.random)())),
            recent: Mutex::new(VecDeque::new()),
            outbox: Outbox::new(name, Arc::clone(&context.receipts)),
        })
    }

    fn draw(&self) -> Draw {
        let config = &self.config;
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = dice.random::<f64>() < config.hang_share;
        let fails = dice.random::<f64>() < config.error_share;
        let tail = dice.random::<f64>() < config.tail_share;
        let dropped = dice.random::<f64>() < config.drop_share;
        let delivered = dice.random::<f64>() < config.delivered_share;
        Draw {
            hangs,
            fails,
            latency: if tail { config.tail } else { config.latency.draw(&mut *dice) },
            receipt_after: config.receipt.draw(&mut *dice),
            receipt: (!dropped).then_some(if delivered { ReceiptStatus::Delivered } else { ReceiptStatus::Undelivered }),
            id: dice.random(),
        }
    }

    /// Whether one more call fits into the second that ends now.
    fn lets_through(&self) -> bool {
        let Some(per_second) = self.config.throttle_per_s else { return true };
        let now = clock();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|at| now.duration_since(*at) >= SECOND) {
            recent.pop_front();
        }
        let fits = recent.len() < per_second;
        if fits {
            recent.push_back(now);
        }
        fits
    }

    /// What is refused before anything is processed.
    fn refusal(&self, submission: &Submission, fixed: Option<FixedOutcome>, draw: &Draw) -> Option<SubmitError> {
        let first = submission.attempt == 1;
        let code = Code::new;
        match fixed {
            Some(FixedOutcome::InvalidRecipient) => return Some(SubmitError::RejectedRecipient { code: code("invalid_recipient") }),
            Some(FixedOutcome::ThrottledOnce) if first => {
                return Some(SubmitError::Throttled { code: code("throttled"), retry_after: Some(SECOND) });
            }
            Some(FixedOutcome::FirstUnavailable) if first => return Some(SubmitError::Unavailable { code: code("unavailable") }),
            Some(_) => return None,
            None => {}
        }
        if !self.lets_through() {
            return Some(SubmitError::Throttled { code: code("throttled"), retry_after: Some(SECOND) });
        }
        draw.fails.then(|| SubmitError::Unavailable { code: code("unavailable") })
    }

    fn report_later(&self, submission: &Submission, id: &str, after: Duration, status: ReceiptStatus) {
        let receipt = Receipt {
            provider_message_id: Some(id.to_owned()),
            reference: Some(submission.reference()),
            status,
            vendor_status: status.as_str().to_owned(),
            error_code: (status == ReceiptStatus::Undelivered).then(|| "absent_subscriber".to_owned()),
            at: None,
        };
        self.outbox.push(clock() + after, receipt);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's clock, which its sleeps go by and tests pause; nothing here is a decision of delivery"
)]
fn clock() -> Instant {
    Instant::now()
}

#[async_trait]
impl Provider for Simulated {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, SubmitError> {
        let fixed = FixedOutcome::of(submission.to());
        let mut draw = self.draw();
        if fixed == Some(FixedOutcome::Timeout) {
            tokio::time::sleep(submission.timeout.min(FIXED_TIMEOUT)).await;
            return Err(SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) });
        }
        if fixed.is_none() && draw.hangs {
            tokio::time::sleep(submission.timeout).await;
            return Err(SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) });
        }
        if fixed == Some(FixedOutcome::Undelivered) {
            draw.receipt = Some(ReceiptStatus::Undelivered);
        }
        let refusal = self.refusal(submission, fixed, &draw);
        let id = format!("sim-{:016x}", draw.id);
        if refusal.is_none()
            && submission.receipts
            && let Some(status) = draw.receipt
        {
            self.report_later(submission, &id, draw.latency + draw.receipt_after, status);
        }
        if draw.latency > submission.timeout {
            tokio::time::sleep(submission.timeout).await;
            return Err(SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) });
        }
        if !draw.latency.is_zero() {
            tokio::time::sleep(draw.latency).await;
        }
        refusal.map_or_else(|| Ok(Accepted { provider_message_id: Some(id), segments: Some(submission.message.segments) }), Err)
    }

    /// Its receipts come from inside; whoever calls the address is not it.
    fn receipts(&self, _: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
        Err(ReceiptError::Unverified)
    }
}

#[cfg(test)]
mod tests;
