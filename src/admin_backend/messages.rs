//! Messages: found, shown masked, revealed with a reason, cancelled.

use tidings_admin::{
    Actor, Error,
    views::{AttemptView, Listing, MessageDetail, MessageRow, ReceiptView, Revealed, Search},
};
use tidings_core::{
    attempt::{Attempt, Cost},
    id::{AppId, MessageId},
    message::Channel,
    money::Amount,
    redact::{Redacted, Text, mask},
};

use super::{AdminBackend, errors};
use crate::store::{Cancelling, Filter, Record};

/// Numbers that one text may mean; beyond it the search would be a scan.
const MOST_CANDIDATES: usize = 8;

impl AdminBackend {
    fn app_name(&self, id: AppId) -> String {
        self.control.snapshot().app(id).map_or_else(|| id.to_string(), |app| app.name.clone())
    }

    fn filter(&self, search: &Search) -> Option<Filter> {
        let app = match &search.app {
            // An app that nobody knows has no messages; leaving the condition out would show everybody's.
            Some(name) => Some(self.control.snapshot().app_by(name)?.id),
            None => None,
        };
        let template = search.template.as_ref().map(|written| match written.split_once('@') {
            Some((name, version)) => (name.to_owned(), version.parse().ok()),
            None => (written.clone(), None),
        });
        Some(Filter {
            app,
            status: search.status,
            reference: search.reference.clone(),
            template,
            provider: search.provider.clone(),
            from: search.from,
            until: search.until,
            ..Filter::default()
        })
    }

    pub(super) async fn find_messages(
        &self,
        search: &Search,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Listing<MessageRow>, Error> {
        let Some(filter) = self.filter(search) else { return Ok(Listing::whole(Vec::new())) };
        if search.to.is_empty() {
            let page = self.messages.list(&filter, before, limit).await.map_err(errors::store)?;
            let rows = page.rows.iter().map(|record| self.row(record)).collect();
            return Ok(Listing { rows, next: page.next.map(|id| id.to_string()) });
        }
        let mut records = Vec::new();
        for to in search.to.iter().take(MOST_CANDIDATES) {
            let one = Filter { to: Some(to.clone()), ..filter.clone() };
            records.extend(self.messages.list(&one, before, limit + 1).await.map_err(errors::store)?.rows);
        }
        records.sort_by_key(|record| std::cmp::Reverse(record.message.id));
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.message.id.to_string());
        Ok(Listing { rows: records.iter().map(|record| self.row(record)).collect(), next })
    }

    fn row(&self, record: &Record) -> MessageRow {
        let message = &record.message;
        let last = record.attempts.last();
        let ended = last.and_then(|attempt| attempt.ended.as_ref());
        MessageRow {
            id: message.id,
            to: mask(message.to.expose()),
            channel: message.channel,
            category: message.category,
            status: record.status,
            app: self.app_name(message.app),
            template: message.template.as_ref().map(ToString::to_string),
            reference: message.reference.clone(),
            accepted_at: message.accepted_at,
            test: message.test,
            attempts: record.attempts.len(),
            provider: last.map(|attempt| attempt.opened.provider.clone()),
            outcome: ended.map(|ended| ended.outcome),
            code: ended.and_then(|ended| ended.code.clone()),
        }
    }

    pub(super) async fn see_message(&self, id: MessageId) -> Result<Option<MessageDetail>, Error> {
        let Some(record) = self.messages.get(id).await.map_err(errors::store)? else { return Ok(None) };
        let message = &record.message;
        let key = message.key.map(|id| {
            let snapshot = self.control.snapshot();
            (id.to_string(), snapshot.key(id).map_or_else(|| "a deleted key".to_owned(), |key| key.name.clone()))
        });
        Ok(Some(MessageDetail {
            row: self.row(&record),
            app_id: message.app.to_string(),
            key,
            lane: message.lane(),
            encoding: message.encoding.filter(|_| message.channel == Channel::Sms),
            segments: message.segments,
            signature: message.signature.clone(),
            metadata: message.metadata.clone(),
            send_at: message.send_at,
            released_at: record.released_at,
            expires_at: message.expires_at,
            closed_at: record.closed_at,
            due_at: record.due_at,
            max_price: message.max_price.map(|price| price.to_string()),
            cost: total(&record.attempts),
            traceparent: message.traceparent.clone(),
            attempts: record.attempts.iter().map(attempt).collect(),
            receipts: record
                .receipts
                .iter()
                .map(|receipt| ReceiptView {
                    provider: receipt.provider.clone(),
                    status: receipt.status,
                    vendor_status: receipt.vendor_status.clone(),
                    error_code: receipt.error_code.clone(),
                    at: receipt.at,
                })
                .collect(),
        }))
    }

    pub(super) async fn reveal_message(&self, actor: &Actor, id: MessageId, reason: &str) -> Result<Revealed, Error> {
        let record = self.messages.get(id).await.map_err(errors::store)?.ok_or(Error::NotFound)?;
        self.control.note_reveal(&self.acting(actor)?, id, reason).await.map_err(errors::control)?;
        Ok(Revealed { to: record.message.to.clone(), text: Text::new(whole_text(&record)) })
    }

    pub(super) async fn cancel_message(&self, actor: &Actor, id: MessageId) -> Result<(), Error> {
        match self.messages.cancel(None, id, self.clock.now()).await.map_err(errors::store)? {
            Cancelling::Cancelled => {
                self.control.note(&self.acting(actor)?, "message.cancelled", id.to_string()).await.map_err(errors::control)
            }
            Cancelling::TooLate(status) => {
                Err(Error::Conflict(format!("It is {status}: a message can be cancelled until a provider has it.")))
            }
            Cancelling::NotFound => Err(Error::NotFound),
        }
    }
}

fn whole_text(record: &Record) -> String {
    let message = &record.message;
    let subject = message.subject.as_ref().map_or_else(String::new, |subject| format!("{}\n\n", subject.expose()));
    format!("{subject}{}", message.text.expose())
}

fn attempt(attempt: &Attempt) -> AttemptView {
    let (opened, ended) = (&attempt.opened, attempt.ended.as_ref());
    AttemptView {
        number: opened.number,
        provider: opened.provider.clone(),
        revision: opened.revision,
        started_at: opened.started_at,
        outcome: ended.map(|ended| ended.outcome),
        code: ended.and_then(|ended| ended.code.clone()),
        duration: ended.map(|ended| ended.duration),
        provider_message_id: ended.and_then(|ended| ended.provider_message_id.clone()),
        cost: ended.and_then(|ended| ended.cost.as_ref()).map(price),
        why: opened.why.to_string(),
    }
}

fn price(cost: &Cost) -> String {
    format!("{} {}", cost.amount, cost.currency)
}

/// What all attempts cost together, if they cost the same currency.
fn total(attempts: &[Attempt]) -> Option<String> {
    let costs: Vec<&Cost> = attempts.iter().filter_map(|attempt| attempt.ended.as_ref()?.cost.as_ref()).collect();
    let currency = &costs.first()?.currency;
    let same = costs.iter().all(|cost| cost.currency == *currency);
    let sum = costs.iter().fold(Amount::ZERO, |sum, cost| sum.plus(cost.amount));
    same.then(|| format!("{sum} {currency}"))
}

/// Suppressed recipients come in through here as well: what a person typed, as the control plane reads it.
pub(super) fn recipient(to: &Redacted<String>) -> serde_json::Value {
    serde_json::Value::String(to.expose().clone())
}
