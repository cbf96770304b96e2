//! What the audit log keeps of things that change no document: reveals of recipients, cancelled messages, steered providers.

use serde_json::Value;
use tidings_core::id::MessageId;

use super::{Actor, Control, Error, Plan, approvals::check_comment, plan::Said};

impl Control {
    /// Notes that somebody is about to see a recipient and a text; nothing may be shown before this returns.
    ///
    /// # Errors
    /// The reason is not one, or it could not be written down.
    pub async fn note_reveal(&self, actor: &Actor, message: MessageId, reason: &str) -> Result<(), Error> {
        check_comment("/reason", reason)?;
        self.note_with(actor, "message.revealed", message.to_string(), None, Some(reason)).await
    }

    /// Notes something that was done.
    ///
    /// # Errors
    /// It could not be written down.
    pub async fn note(&self, actor: &Actor, action: &'static str, object: String) -> Result<(), Error> {
        self.note_with(actor, action, object, None, None).await
    }

    /// The same, with what it is like now and why.
    ///
    /// # Errors
    /// It could not be written down.
    pub async fn note_with(
        &self,
        actor: &Actor,
        action: &'static str,
        object: String,
        after: Option<Value>,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        self.change(|scene| {
            let mut plan = Plan::default();
            plan.log(scene, actor, Said { action, object: object.clone(), before: None, after: after.clone(), reason });
            Ok((plan, ()))
        })
        .await
    }
}
