//! Recipients that must not be written to: by an operator's hand, or because they said so themselves.

use serde_json::{Map, Value, json};
use tidings_core::{
    id::{AppId, SuppressionId},
    message::{Channel, Recipient},
    recipient,
    redact::mask,
};

use super::{
    Actor, Control, Error, Plan, Scene,
    fields::Fields,
    model::{Kind, RecipientHash, Suppression},
    plan::Said,
};

/// As long as an address gets (RFC 5321: 254 for email; device tokens are shorter than this).
const MAX_ADDRESS_CHARS: usize = 512;
const MAX_REASON_CHARS: usize = 500;

impl Control {
    /// Suppresses a recipient for one app or for all.
    ///
    /// # Errors
    /// The fields are not valid, it is suppressed already, the store is away.
    pub async fn create_suppression(&self, actor: &Actor, body: &Map<String, Value>) -> Result<Suppression, Error> {
        self.change(|scene| {
            let mut faults = Vec::new();
            let mut fields = Fields::new("", body, &mut faults);
            let to = fields.name("to", is_address, "a number such as +8613800138000 or another channel's address").map(str::to_owned);
            let app = fields.text("app").and_then(|name| {
                let app = scene.snapshot.app_by(name).map(|app| app.id);
                if app.is_none() {
                    fields.fault("app", "unknown", "there is no such app");
                }
                app
            });
            let reason = fields.name("reason", is_reason, "1 to 500 characters").map(str::to_owned);
            fields.finish();
            let (Some(to), Some(reason), []) = (to, reason, faults.as_slice()) else { return Err(Error::Invalid(faults)) };
            let mut plan = Plan::default();
            let made = suppress(scene, &mut plan, actor, &Recipient::new(to), app, &reason)?;
            Ok((plan, made))
        })
        .await
    }

    /// Suppresses a recipient who asked for it. Being suppressed already is as good.
    ///
    /// # Errors
    /// The store is away.
    pub async fn opt_out(&self, actor: &Actor, to: &Recipient, app: Option<AppId>, reason: &str) -> Result<(), Error> {
        let done = self.change(|scene| {
            let mut plan = Plan::default();
            suppress(scene, &mut plan, actor, to, app, reason)?;
            Ok((plan, ()))
        });
        match done.await {
            Err(Error::Exists(Kind::Suppression)) => Ok(()),
            other => other,
        }
    }

    /// Lets the recipient be written to again.
    ///
    /// # Errors
    /// There is no such suppression, the store is away.
    pub async fn delete_suppression(&self, actor: &Actor, id: SuppressionId) -> Result<(), Error> {
        self.change(|scene| {
            let kept = scene.snapshot.suppression(id).ok_or(Error::NotFound)?;
            let mut plan = Plan::default();
            plan.delete(kept);
            let before = json!({"to": kept.masked, "app": kept.app, "reason": kept.reason});
            plan.log(
                scene,
                actor,
                Said { action: "suppression.deleted", object: id.to_string(), before: Some(before), ..Default::default() },
            );
            Ok((plan, ()))
        })
        .await
    }
}

fn suppress(
    scene: &Scene<'_>,
    plan: &mut Plan,
    actor: &Actor,
    to: &Recipient,
    app: Option<AppId>,
    reason: &str,
) -> Result<Suppression, Error> {
    let recipient: RecipientHash = scene.snapshot.recipient_hash(to.expose()).ok_or(Error::Busy)?;
    if scene.snapshot.suppressions().any(|other| other.app == app && other.recipient == recipient) {
        return Err(Error::Exists(Kind::Suppression));
    }
    let made = Suppression {
        id: SuppressionId::new(scene.now, scene.clock.random()),
        recipient,
        masked: mask(to.expose()),
        app,
        reason: reason.to_owned(),
        created_at: scene.now,
        created_by: actor.id.clone(),
    };
    plan.create(&made);
    let after = json!({"to": made.masked, "app": app, "reason": reason});
    plan.log(scene, actor, Said { action: "suppression.created", object: made.id.to_string(), after: Some(after), ..Default::default() });
    Ok(made)
}

fn is_address(text: &str) -> bool {
    if text.starts_with('+') {
        return recipient::check(Channel::Sms, text).is_ok();
    }
    (1..=MAX_ADDRESS_CHARS).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_reason(text: &str) -> bool {
    (1..=MAX_REASON_CHARS).contains(&text.trim().chars().count())
}
