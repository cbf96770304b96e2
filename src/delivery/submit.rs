//! Opening an attempt on disk, and making the call.

use std::{sync::Arc, time::Duration};

use tidings_core::{
    attempt::{Attempt, Cost, Ended, Opened, Outcome},
    fleet::{Departs, Ticket},
    message::Message,
    retry::Decision,
};
use tidings_providers::{Accepted, Code, Submission, SubmitError};

use super::{desk::Account, journey::Journey, settle};
use crate::{
    store::{Lease, Next, Opening},
    telemetry::traces,
};

/// How long after its provider's timeout an attempt's lease lasts: settling it has that long.
const LEASE_AFTER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call whose attempt cannot be written down is kept from others.
const KEEPS_ITS_CALL: Duration = Duration::from_secs(1);
/// How often a call that is ready asks for its place while nothing of the provider's contract is granted to this process.
const ASK_FOR_A_GRANT: Duration = Duration::from_millis(100);
/// How often an otp's call looks whether it hangs at a provider that is out.
const LOOK_WHETHER_TO_LEAVE: Duration = Duration::from_millis(50);
/// An adapter keeps its own time-out; this much later it is broken, and the call is ambiguous all the same.
const GRACE: Duration = Duration::from_millis(250);

/// A call that is open on disk.
pub struct Call {
    ticket: Ticket,
    submission: Submission,
}

/// Why there is no call.
pub enum NoCall {
    /// The store was away and is back: choose again.
    Again,
    /// The message is not ours any more, or the store is away for too long.
    Gone,
}

type Answer = Result<Accepted, SubmitError>;

impl Journey {
    /// Adds the attempt that a ticket is for; the lease that it needs.
    pub(super) fn add_attempt(&mut self, ticket: &Ticket) -> Lease {
        let account = &self.desk.accounts[ticket.provider];
        let now = self.worker.clock.now();
        let opened = Opened {
            number: self.number().saturating_add(1),
            provider: account.spec.name.to_string(),
            revision: self.desk.revision,
            receipts: account.spec.receipts,
            started_at: now,
            why: ticket.why.to_string(),
        };
        self.attempts.push(Attempt { opened, ended: None });
        self.over = self.worker.clock.moment() + account.spec.timeout + LEASE_AFTER_TIMEOUT;
        Lease { until: now + account.spec.timeout + LEASE_AFTER_TIMEOUT, ..self.lease }
    }

    /// The number of the last attempt.
    fn number(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX)
    }

    /// The call of an attempt that is on disk: only now it counts, however often it was tried to open it.
    pub(super) fn begun(&self, ticket: Ticket) -> Call {
        if self.attempts.len() == 1 {
            self.desk.retry().0.first_try(self.message.app, ticket.provider);
        }
        Call { submission: self.submission(&self.desk.accounts[ticket.provider], self.number()), ticket }
    }

    /// Writes down that an attempt begins.
    pub async fn open(&mut self, ticket: Ticket) -> Result<Call, NoCall> {
        let lease = self.add_attempt(&ticket);
        let patience = self.worker.clock.moment() + KEEPS_ITS_CALL;
        let mut pause = settle::AFTER_FAILURE;
        loop {
            match self.worker.store.open(self.message.id, self.message.lane(), lease, self.attempts.clone()).await {
                Ok(Opening::Opened) => break,
                Ok(Opening::Lost) => {
                    self.worker.metrics.queue.lease_lost();
                    self.desk.abandon(ticket);
                    return Err(NoCall::Gone);
                }
                Err(error) => {
                    tracing::warn!(message = %self.message.id, error = &error as &dyn std::error::Error, "an attempt could not be opened");
                    if self.worker.clock.moment() >= patience || !self.may_wait(pause) {
                        self.desk.abandon(ticket);
                        return Err(self.without_a_call(pause).await);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(settle::LONGEST_AFTER_FAILURE);
                }
            }
        }
        self.lease = lease;
        self.unsettled = false;
        Ok(self.begun(ticket))
    }

    /// Without the lease somebody else may have the message; it is theirs when the store is back.
    fn may_wait(&self, pause: Duration) -> bool {
        self.worker.clock.now() + pause < self.lease.until && !self.worker.stopping.is_cancelled()
    }

    /// The store is away: waits for it and leaves the provider's calls to those that can go on.
    async fn without_a_call(&mut self, mut pause: Duration) -> NoCall {
        while self.may_wait(pause) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(settle::LONGEST_AFTER_FAILURE);
            let Ok(record) = self.worker.store.get(self.message.id).await else { continue };
            // The answer to the opening may have been lost, and not the opening.
            let ours = self.attempts.last().map(|last| &last.opened);
            if record.is_some_and(|record| ours.is_some() && record.attempts.last().map(|last| &last.opened) == ours) {
                self.note_never_sent();
                self.write(Next::Wait(self.worker.clock.now())).await;
                return NoCall::Gone;
            }
            self.attempts.pop();
            return NoCall::Again;
        }
        self.give_up().await;
        NoCall::Gone
    }

    /// Lets go of a message that was not sent; whether that is heard or not, its lease is over soon.
    async fn give_up(&self) {
        drop(self.worker.store.hand_back(vec![self.message.id], self.lease.owner, self.worker.clock.now()).await);
    }

    /// Waits for the call's place among its provider's. `None` if the lease is over by then, by the monotonic clock: a process
    /// that was frozen must not call a provider after somebody else has.
    pub async fn depart(&self, mut call: Call) -> Option<Call> {
        let mut now = self.worker.clock.moment();
        while now < self.over {
            let (until, goes) = match self.desk.departs(now, &mut call.ticket) {
                Some(Departs::At(at)) => (at, true),
                Some(Departs::AskAgain(at)) => (at, false),
                None => (now + ASK_FOR_A_GRANT, false),
            };
            if until > now {
                tokio::time::sleep_until(self.worker.clock.instant(until)).await;
                now = self.worker.clock.moment();
            }
            if goes && now < self.over {
                return Some(call);
            }
        }
        self.worker.metrics.queue.lease_lost();
        self.desk.abandon(call.ticket);
        None
    }

    fn submission(&self, account: &Account, attempt: u32) -> Submission {
        let message = &self.message;
        let template = message.template.as_ref().and_then(|template| account.templates.get(&template.name)).cloned();
        let signature = message.signature.as_deref().map(|name| account.signatures.get(name).cloned().unwrap_or_else(|| name.into()));
        Submission {
            message: Arc::clone(message),
            attempt,
            timeout: account.spec.timeout,
            template,
            signature,
            receipts: account.spec.receipts,
            callback: account.callback.clone(),
            traceparent: traces::towards_provider(message, attempt),
        }
    }

    /// Makes the call and classifies its end; what follows is `core`'s to say.
    pub async fn submit(&mut self, call: Call) -> Decision {
        let Call { mut ticket, submission } = call;
        self.desk.sent(self.worker.clock.moment(), &mut ticket);
        let (place, started) = (ticket.provider, ticket.started);
        let provider = Arc::clone(&self.desk.accounts[place].provider);
        let timeout = submission.timeout;
        tracing::trace!(provider = &*self.desk.accounts[place].spec.name, ?submission, "submitting");
        let mut answer = Box::pin(async move {
            let late = || SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) };
            tokio::time::timeout(timeout + GRACE, provider.submit(&submission)).await.unwrap_or_else(|_| Err(late()))
        });
        let given = if self.message.category.allows_duplicates() {
            loop {
                tokio::select! {
                    biased;
                    given = &mut answer => break Some(given),
                    () = tokio::time::sleep(LOOK_WHETHER_TO_LEAVE) => {}
                }
                let now = self.worker.clock.moment();
                let hopeless =
                    self.desk.in_trouble() && self.desk.fleet().hopeless_after(now, place).is_some_and(|age| now.since(started) > age);
                if hopeless {
                    break None;
                }
            }
        } else {
            Some(answer.as_mut().await)
        };
        let Some(given) = given else {
            let lasted = self.worker.clock.moment().since(started);
            let ended =
                ended(&Err(SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) }), &self.desk.accounts[place], &self.message, lasted);
            self.note(ended);
            self.leave(ticket, answer);
            return self.course.left(self.worker.clock.moment(), place);
        };
        let now = self.worker.clock.moment();
        let ended = ended(&given, &self.desk.accounts[place], &self.message, now.since(started));
        let outcome = ended.outcome;
        self.desk.accounts[place].metrics.attempt(&ended);
        self.note(ended);
        let retry_after = given.err().and_then(|error| error.retry_after());
        self.desk.ended(now, ticket, outcome, retry_after);
        self.course.ended(now, place, outcome)
    }

    pub(super) fn note(&mut self, ended: Ended) {
        if let Some(last) = self.attempts.last_mut() {
            last.ended = Some(ended);
        }
        self.unsettled = true;
    }

    /// Leaves a call that hangs at a provider that is out: it runs on by itself, and if it is answered after all, that is
    /// written down as a late outcome.
    fn leave(&self, ticket: Ticket, answer: impl Future<Output = Answer> + Send + 'static) {
        let (worker, desk, message) = (Arc::clone(&self.worker), Arc::clone(&self.desk), Arc::clone(&self.message));
        let (place, started, mut attempts) = (ticket.provider, ticket.started, self.attempts.clone());
        self.worker.tasks.spawn(async move {
            let given = answer.await;
            let now = worker.clock.moment();
            let ended = ended(&given, &desk.accounts[place], &message, now.since(started));
            let outcome = ended.outcome;
            desk.accounts[place].metrics.attempt(&ended);
            if let Some(last) = attempts.last_mut() {
                last.ended = Some(ended);
            }
            let retry_after = given.err().and_then(|error| error.retry_after());
            desk.ended(now, ticket, outcome, retry_after);
            if outcome == Outcome::Accepted {
                settle::late(&worker, &message, attempts).await;
            }
        });
    }
}

fn ended(answer: &Answer, account: &Account, message: &Message, duration: Duration) -> Ended {
    let (outcome, code) = match answer {
        Ok(_) => (Outcome::Accepted, None),
        Err(error) => (error.outcome(), Some(error.code().as_str().to_owned())),
    };
    let accepted = answer.as_ref().ok();
    let segments = accepted.and_then(|accepted| accepted.segments).unwrap_or(message.segments);
    let cost = accepted.map(|_| Cost { amount: account.spec.price.times(segments), currency: account.currency.to_string() });
    let provider_message_id = accepted.and_then(|accepted| accepted.provider_message_id.clone());
    Ended { outcome, code, duration, provider_message_id, segments, cost }
}
