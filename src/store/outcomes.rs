//! What follows from facts that reach a row late: an attempt's end after the lease has gone to somebody else, and a receipt.
//!
//! Both databases read the row, ask here, and write down the answer.

use tidings_core::{
    attempt::{Attempt, Outcome},
    id::{AppId, MessageId},
    message::Status,
    time::Timestamp,
};

use super::{Error, ReceiptFact, ReceiptMatch, UNKNOWN_RESOLVES, rows::Cells};

/// Merges what somebody without the lease knows of attempts into what the row says. The status that follows; `None` if nothing
/// is new.
pub fn learn(stored: &mut [Attempt], known: &[Attempt], now: Status) -> Option<Status> {
    if !merge(stored, known) {
        return None;
    }
    let accepted = known.iter().any(|attempt| attempt.ended.as_ref().is_some_and(|ended| ended.outcome == Outcome::Accepted));
    Some(if accepted && now.may_become(Status::Submitted) { Status::Submitted } else { now })
}

/// Puts known ends in place of open or interrupted attempts. Whether anything changed.
fn merge(stored: &mut [Attempt], known: &[Attempt]) -> bool {
    let mut changed = false;
    for attempt in known.iter().filter(|attempt| !attempt.is_open()) {
        let same =
            |other: &&mut Attempt| other.opened.number == attempt.opened.number && other.opened.started_at == attempt.opened.started_at;
        if let Some(other) = stored.iter_mut().find(same)
            && other.ended != attempt.ended
        {
            other.ended.clone_from(&attempt.ended);
            changed = true;
        }
    }
    changed
}

/// The message that a receipt may be about, as its row says.
pub struct Found {
    pub id: MessageId,
    pub status: Status,
    app: AppId,
    closed_at: Option<Timestamp>,
    attempts: Vec<Attempt>,
}

impl Found {
    pub fn read(row: &impl Cells, id: MessageId) -> Result<Self, Error> {
        let (app, closed_at) = (AppId::from_uuid(row.uuid("app")?), row.time_if_any("closed_at")?);
        Ok(Self { id, app, status: row.status()?, closed_at, attempts: row.attempts()? })
    }

    /// Whether it was ever given to this provider.
    pub fn went_to(&self, provider: &str) -> bool {
        self.attempts.iter().any(|attempt| attempt.opened.provider == provider)
    }

    /// Whether this provider calls it so.
    pub fn is_called(&self, provider: &str, provider_message_id: &str) -> bool {
        let id =
            |attempt: &Attempt| attempt.ended.as_ref().and_then(|ended| ended.provider_message_id.as_deref()) == Some(provider_message_id);
        self.attempts.iter().any(|attempt| attempt.opened.provider == provider && id(attempt))
    }

    /// Whether the receipt changes the status.
    pub fn moves(&self, fact: &ReceiptFact) -> bool {
        let in_time = self.status != Status::Unknown || self.closed_at.is_none_or(|closed| fact.at.since(closed) <= UNKNOWN_RESOLVES);
        in_time && self.status.may_become(fact.status)
    }

    /// What to tell of a receipt that is new.
    pub fn matched(&self, fact: &ReceiptFact) -> ReceiptMatch {
        let moved = self.moves(fact);
        let confirmed = |attempt: &&Attempt| attempt.opened.provider == fact.provider;
        ReceiptMatch::Known {
            id: self.id,
            app: self.app,
            status: if moved { fact.status } else { self.status },
            moved,
            contradicts: !moved && self.status.is_final() && fact.status.is_final() && self.status != fact.status,
            submitted_at: self.attempts.iter().rev().find(confirmed).map(|attempt| attempt.opened.started_at),
        }
    }
}
