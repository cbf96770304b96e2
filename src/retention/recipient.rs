//! One recipient's data: shown whole, or deleted whole.
//!
//! A deletion is an order that lies in the control plane until nothing is left: what waits is cancelled, what is closed is
//! deleted, what is out at a provider or not yet recorded is waited for. So it works the same whether one process runs or
//! twenty, and a crash in the middle repeats it.

use serde_json::{Value, json};
use tidings_core::message::Recipient;

use super::Retention;
use crate::{
    api::view::DetailView,
    control::{Actor, Control, erasures::Order},
    store::{Error, Filter, Messages},
};

/// Messages read at once.
const PAGE: usize = 200;

impl Retention {
    /// Goes on with every order. One that fails is tried again with the next look.
    pub(super) async fn carry_out_orders(&self) {
        if self.control.snapshot().erasures().next().is_none() {
            return;
        }
        let orders = match self.control.orders() {
            Ok(orders) => orders,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an order to delete a recipient's data cannot be opened");
                return;
            }
        };
        for order in orders {
            if let Err(error) = self.carry_out(&order).await {
                tracing::warn!(error = error.as_ref() as &dyn std::error::Error, "a recipient's data is not deleted yet");
            }
        }
    }

    /// Goes on with one order; says whether nothing is left.
    ///
    /// # Errors
    /// A store is away: what was deleted until then is deleted.
    pub async fn carry_out(&self, order: &Order) -> anyhow::Result<bool> {
        // Asked first: what is in no store yet cannot be deleted, and would be written after the order is forgotten.
        let all_recorded = self.messages.all_recorded().await;
        let now = self.clock.now();
        for record in all_of(&*self.messages, &order.to, |status| status.is_open()).await? {
            // Too late for those that are out; they are closed soon.
            self.messages.cancel(None, record.message.id, now).await?;
        }
        let erased = self.messages.erase(&order.to).await?;
        let complete = erased.under_way == 0 && all_recorded;
        self.metrics.retention.erased.inc_by(erased.messages);
        self.control.erased(order.id, erased.messages, complete).await?;
        Ok(complete)
    }
}

/// Everything that is kept about a recipient, as JSON, written into the audit log.
///
/// # Errors
/// A store is away.
pub async fn export(messages: &dyn Messages, control: &Control, actor: &Actor, to: &Recipient) -> anyhow::Result<Value> {
    let mut shown = Vec::new();
    for listed in all_of(messages, to, |_| true).await? {
        // A listing leaves receipts out.
        let Some(record) = messages.get(listed.message.id).await? else { continue };
        let mut message = serde_json::to_value(DetailView::of(&record))?;
        message["app"] = json!(record.message.app);
        message["text"] = json!(record.message.text.expose());
        message["subject"] = json!(record.message.subject.as_ref().map(tidings_core::redact::Redacted::expose));
        message["params"] = json!(record.message.params.expose());
        message["signature"] = json!(record.message.signature);
        shown.push(message);
    }
    let suppressions = control.export_recipient(actor, to, shown.len() as u64).await?;
    let suppressions: Vec<Value> = suppressions
        .into_iter()
        .map(|kept| json!({"id": kept.id, "app": kept.app, "reason": kept.reason, "created_at": kept.created_at}))
        .collect();
    Ok(json!({"to": to.expose(), "messages": shown, "suppressions": suppressions}))
}

async fn all_of(
    messages: &dyn Messages,
    to: &Recipient,
    wanted: impl Fn(tidings_core::message::Status) -> bool,
) -> Result<Vec<crate::store::Record>, Error> {
    let filter = Filter { to: Some(to.clone()), ..Filter::default() };
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = messages.list(&filter, before, PAGE).await?;
        found.extend(page.rows.into_iter().filter(|record| wanted(record.status)));
        before = page.next;
        if before.is_none() {
            return Ok(found);
        }
    }
}
