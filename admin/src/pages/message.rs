//! One message: the whole chain from the key that sent it to the receipt, and the sentence that sums it up.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use tidings_core::{
    attempt::Outcome,
    id::MessageId,
    message::{Category, Status},
    time::Timestamp,
};

use crate::{
    backend::Error,
    page::{self, Layout, fault},
    router::App,
    times,
    views::{AttemptView, MessageDetail, ReceiptView, Revealed},
    visit::{Posted, Refusal, Visit},
    wording,
};

#[derive(Template)]
#[template(path = "pages/message.html")]
pub struct Page {
    pub layout: Layout,
    pub message: MessageDetail,
    pub story: String,
    pub steps: Vec<Step>,
    pub revealed: Option<Revealed>,
}

/// One link of the chain.
pub struct Step {
    pub at: Timestamp,
    pub tone: &'static str,
    pub title: String,
    pub attempt: Option<AttemptView>,
    pub receipt: Option<ReceiptView>,
    pub note: Option<String>,
}

impl Page {
    /// How long after it was accepted a step came.
    fn offset(&self, step: &Step) -> Option<String> {
        let accepted = self.message.row.accepted_at;
        (step.at > accepted).then(|| times::length(&step.at.since(accepted)))
    }

    pub fn new(layout: Layout, message: MessageDetail, revealed: Option<Revealed>) -> Self {
        Self { story: story(&message), steps: steps(&message), layout, message, revealed }
    }

    fn can_cancel(&self) -> bool {
        self.message.row.status.is_open() && self.layout.may_operate()
    }

    /// How long it took from accepted to its end.
    fn took(&self) -> Option<std::time::Duration> {
        self.message.closed_at.map(|closed| closed.since(self.message.row.accepted_at))
    }
}

fn read(id: &str) -> Result<MessageId, Refusal> {
    id.parse().map_err(|_| Refusal::Backend(Error::NotFound))
}

async fn find(app: &App, id: MessageId) -> Result<MessageDetail, Refusal> {
    app.backend.message(id).await?.ok_or(Refusal::Backend(Error::NotFound))
}

pub async fn get(State(app): State<App>, visit: Visit, Path(id): Path<String>) -> Result<Response, Refusal> {
    let message = find(&app, read(&id)?).await?;
    let layout = visit.layout("messages", format!("Message to {}", message.row.to));
    Ok(page::ok(&Page::new(layout, message, None)))
}

#[derive(Deserialize)]
pub struct Reason {
    reason: String,
}

pub async fn reveal(
    State(app): State<App>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(form): Posted<Reason>,
) -> Result<Response, Refusal> {
    let id = read(&id)?;
    let layout = |message: &MessageDetail| visit.layout("messages", format!("Message to {}", message.row.to));
    if form.reason.trim().is_empty() {
        let message = find(&app, id).await?;
        let layout = layout(&message).with_faults(vec![fault("reason", "Say why you need to see it. The reason is recorded.")]);
        return Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &Page::new(layout, message, None)));
    }
    let revealed = app.backend.reveal(&visit.actor(), id, form.reason.trim()).await?;
    let message = find(&app, id).await?;
    Ok(page::ok(&Page::new(layout(&message), message, Some(revealed))))
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn cancel(
    State(app): State<App>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(Nothing {}): Posted<Nothing>,
) -> Result<Response, Refusal> {
    let id = read(&id)?;
    app.backend.cancel(&visit.actor(), id).await?;
    Ok(page::done(&format!("/admin/messages/{id}"), "cancelled"))
}

/// What happened, in a sentence or two that one can read out on the telephone.
fn story(message: &MessageDetail) -> String {
    let row = &message.row;
    let provider = row.provider.as_deref().unwrap_or("a provider");
    let last = message.attempts.last();
    let failed = || failed_before(message);
    match row.status {
        Status::Accepted if message.attempts.is_empty() => "It is durable and waits for a worker.".to_owned(),
        Status::Accepted | Status::Delivering => match last {
            Some(AttemptView { outcome: None, provider, .. }) => format!("It is being submitted to {provider}.{}", failed()),
            _ => format!("It is under way and will be tried again.{}", failed()),
        },
        Status::Held => "It is held until its app releases it.".to_owned(),
        Status::Scheduled => "It waits for the time it was scheduled for.".to_owned(),
        Status::Submitted => format!("{provider} took it; no receipt has come.{}", failed()),
        Status::Delivered => format!("{provider} delivered it{}.{}", after(message), failed()),
        Status::Undelivered => {
            let code = message.receipts.last().and_then(|receipt| receipt.error_code.clone().or(Some(receipt.vendor_status.clone())));
            format!(
                "{provider} took it but reported that it did not arrive{}.{}",
                code.map_or_else(String::new, |code| format!(" ({code})")),
                failed()
            )
        }
        Status::Failed => last.map_or_else(
            || "It could not be sent, and no provider was called.".to_owned(),
            |last| format!("It was not sent. {}{}", reason(last), if message.attempts.len() > 1 { failed() } else { String::new() }),
        ),
        Status::Expired => format!("Its time ran out before a provider took it.{}", failed()),
        Status::Cancelled => "It was cancelled before it was sent.".to_owned(),
        Status::Unknown => format!(
            "Nobody knows whether it was sent. {}{} A receipt or a query at the vendor may still tell.",
            last.map_or_else(String::new, reason),
            if row.category == Category::Otp { "" } else { " A message of this category is not repeated blindly." }
        ),
    }
}

fn after(message: &MessageDetail) -> String {
    let receipt = message.receipts.iter().find(|receipt| receipt.status == Status::Delivered);
    receipt.map_or_else(String::new, |receipt| format!(" after {}", times::length(&receipt.at.since(message.row.accepted_at))))
}

/// The last attempt's end in words.
fn reason(attempt: &AttemptView) -> String {
    let Some(outcome) = attempt.outcome else { return String::new() };
    let code = match attempt.code.as_deref() {
        Some(code) => wording::code_means(code).map_or_else(|| format!(" ({code})"), |means| format!(" ({code}: {means})")),
        None => String::new(),
    };
    format!("{} at {}{code}: {}", wording::outcome_title(&outcome), attempt.provider, wording::outcome_means(outcome))
}

fn failed_before(message: &MessageDetail) -> String {
    let failed = |attempt: &&AttemptView| attempt.outcome.is_some_and(|outcome| outcome != Outcome::Accepted);
    match message.attempts.iter().filter(failed).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [one] => format!(" Before that, {} did not take it ({}).", one.provider, one.code.as_deref().unwrap_or("no code")),
        many => format!(" Before that, {} attempts did not succeed.", many.len()),
    }
}

/// The chain in the order in which it happened.
fn steps(message: &MessageDetail) -> Vec<Step> {
    let plain = |at, tone, title: String, note| Step { at, tone, title, attempt: None, receipt: None, note };
    let by = message.key.as_ref().map_or_else(|| message.row.app.clone(), |(_, name)| format!("{} with the key {name}", message.row.app));
    let mut steps = vec![plain(message.row.accepted_at, "good", format!("Accepted from {by}"), None)];
    if let Some(at) = message.released_at {
        steps.push(plain(at, "good", "Released".to_owned(), None));
    }
    for attempt in &message.attempts {
        let title = attempt.outcome.as_ref().map_or("Call is out", wording::outcome_title);
        let tone = attempt.outcome.as_ref().map_or("busy", wording::outcome_tone);
        let note = attempt.outcome.map(|outcome| wording::outcome_means(outcome).to_owned());
        steps.push(Step {
            at: attempt.started_at,
            tone,
            title: format!("{title}: {}", attempt.provider),
            attempt: Some(attempt.clone()),
            receipt: None,
            note,
        });
    }
    for receipt in &message.receipts {
        let title = format!("Receipt: {} by {}", receipt.status, receipt.provider);
        let tone = wording::status_tone(&receipt.status);
        steps.push(Step { at: receipt.at, tone, title, attempt: None, receipt: Some(receipt.clone()), note: None });
    }
    // The sort is stable: what happened within one millisecond stays in the order of its making.
    steps.sort_by_key(|step| step.at);
    if let Some(at) = message.closed_at.filter(|_| !matches!(message.row.status, Status::Submitted | Status::Delivered)) {
        steps.push(plain(at, wording::status_tone(&message.row.status), format!("Ended as {}", message.row.status), None));
    }
    if let Some(at) = message.due_at.filter(|_| message.row.status.is_open()) {
        steps.push(plain(at, "idle", "Next look".to_owned(), None));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_story_names_provider_and_reason() {
        let unknown = samples::message_unknown();
        let told = story(&unknown);
        assert!(told.contains("aliyun-main") && told.contains("timeout: no answer in time"), "{told}");
        let delivered = story(&samples::message_delivered_after_failover());
        assert!(delivered.contains("tencent-main delivered it") && delivered.contains("aliyun-main did not take it"), "{delivered}");
    }

    #[test]
    fn the_chain_is_in_the_order_of_time() {
        let steps = steps(&samples::message_delivered_after_failover());
        assert!(steps.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert_eq!(steps.first().unwrap().title, "Accepted from shop with the key shop-live");
    }
}
