//! One recipient's data: what the control plane keeps of them, and the order to delete everything.
//!
//! An order is a document like any other, so it is durable before anybody is told of it and every process sees it within a
//! second; [`crate::retention`] carries it out. The audit log names the recipient by the keyed hash alone: whoever has the
//! number can show that it was deleted, nobody can read it back.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tidings_core::{message::Recipient, redact::Redacted};
use uuid::Uuid;

use super::{
    Actor, Control, Error, Plan,
    model::{Erasure, Suppression},
    plan::Said,
};
use crate::seal::{self, Keyring};

const PURPOSE: &str = "erasure";
/// What a suppression shows once its recipient was erased: it still suppresses, by the hash.
const ERASED: &str = "[erased]";

/// An order, with its recipient opened.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: Uuid,
    pub to: Recipient,
}

/// The same order sealed as new ones are; `None` if it is already.
///
/// # Errors
/// It was sealed with a key that this node does not have.
pub(super) fn seal_again(order: &Erasure, keyring: &Keyring) -> Result<Option<Erasure>, seal::Error> {
    let blob = STANDARD.decode(&order.sealed).map_err(|_| seal::Error::Corrupt)?;
    if keyring.is_current(&blob) {
        return Ok(None);
    }
    let sealed = STANDARD.encode(keyring.seal(PURPOSE, &keyring.open(PURPOSE, &blob)?));
    Ok(Some(Erasure { sealed, ..order.clone() }))
}

impl Control {
    /// Orders that everything about a recipient be deleted. Ordered already is as good.
    ///
    /// # Errors
    /// The store is away.
    pub async fn order_erasure(&self, actor: &Actor, to: &Recipient) -> Result<Uuid, Error> {
        self.refresh().await?;
        self.change(|scene| {
            let recipient = scene.snapshot.recipient_hash(to.expose()).ok_or(Error::Busy)?;
            let mut plan = Plan::default();
            if let Some(kept) = scene.snapshot.erasures().find(|kept| kept.recipient == recipient) {
                return Ok((plan, kept.id));
            }
            let sealed = STANDARD.encode(scene.sealing().seal(PURPOSE, to.expose().as_bytes()));
            let id = scene.uuid();
            plan.create(&Erasure { id, recipient, sealed, messages: 0, asked_at: scene.now, asked_by: actor.id.clone() });
            plan.log(scene, actor, Said { action: "recipient.erasure_ordered", object: recipient.text(), ..Default::default() });
            Ok((plan, id))
        })
        .await
    }

    /// The orders that are not carried out yet.
    ///
    /// # Errors
    /// One was sealed with a key that this node does not have.
    pub fn orders(&self) -> Result<Vec<Order>, Error> {
        let snapshot = self.snapshot();
        let mut orders = Vec::new();
        for kept in snapshot.erasures() {
            let blob = STANDARD.decode(&kept.sealed).map_err(|_| seal::Error::Corrupt)?;
            let plain = self.sealing().open(PURPOSE, &blob)?;
            let to = String::from_utf8(plain).map_err(|_| seal::Error::Corrupt)?;
            orders.push(Order { id: kept.id, to: Redacted::new(to) });
        }
        Ok(orders)
    }

    /// Counts what was deleted for an order, and ends it when nothing is left: suppressions of the recipient stay in force but
    /// show them no more.
    ///
    /// # Errors
    /// The store is away.
    pub async fn erased(&self, order: Uuid, messages: u64, complete: bool) -> Result<(), Error> {
        let actor = Actor::own(super::model::ActorId::system());
        self.change(|scene| {
            let mut plan = Plan::default();
            let Some(kept) = scene.snapshot.erasures().find(|kept| kept.id == order) else { return Ok((plan, ())) };
            let all = kept.messages + messages;
            if !complete {
                if messages > 0 {
                    plan.update(kept, &Erasure { messages: all, ..kept.value.clone() });
                }
                return Ok((plan, ()));
            }
            let mut suppressions = 0;
            for shown in scene.snapshot.suppressions().filter(|shown| shown.recipient == kept.recipient) {
                suppressions += 1;
                let (masked, reason) = (ERASED.to_owned(), ERASED.to_owned());
                plan.update(shown, &Suppression { masked, reason, ..shown.value.clone() });
            }
            plan.delete(kept);
            let after = json!({"messages": all, "suppressions_kept": suppressions, "ordered_by": kept.asked_by});
            let said = Said { action: "recipient.erased", object: kept.recipient.text(), after: Some(after), ..Default::default() };
            plan.log(scene, &actor, said);
            Ok((plan, ()))
        })
        .await
    }

    /// What the control plane keeps of a recipient, for them to read; written into the log.
    ///
    /// # Errors
    /// The store is away.
    pub async fn export_recipient(&self, actor: &Actor, to: &Recipient, messages: u64) -> Result<Vec<Suppression>, Error> {
        self.change(|scene| {
            let recipient = scene.snapshot.recipient_hash(to.expose()).ok_or(Error::Busy)?;
            let mut plan = Plan::default();
            let suppressions = scene.snapshot.suppressions().filter(|shown| shown.recipient == recipient);
            let suppressions: Vec<Suppression> = suppressions.map(|kept| kept.value.clone()).collect();
            let after = json!({"messages": messages, "suppressions": suppressions.len()});
            plan.log(
                scene,
                actor,
                Said { action: "recipient.exported", object: recipient.text(), after: Some(after), ..Default::default() },
            );
            Ok((plan, suppressions))
        })
        .await
    }
}
