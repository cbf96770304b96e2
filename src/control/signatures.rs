//! Signatures of an app, the names that its messages come under: made, submitted for approval, withdrawn.

use serde_json::{Map, Value, json};
use tidings_core::id::{AppId, SignatureId};

use super::{
    Actor, Control, Error, Plan,
    approvals::{self, Filing},
    fields::Fields,
    model::{Approval, Kind, Signature, Target, VersionStatus},
    plan::Said,
};

impl Control {
    /// Makes a signature as a draft.
    ///
    /// # Errors
    /// The fields are not valid, the app has a signature of this name, the store is away.
    pub async fn create_signature(&self, actor: &Actor, app: AppId, body: &Map<String, Value>) -> Result<Signature, Error> {
        self.change(|scene| {
            scene.snapshot.app(app).ok_or(Error::NotFound)?;
            let mut faults = Vec::new();
            let mut fields = Fields::new("", body, &mut faults);
            let name = fields.name("name", Signature::is_name, "1 to 32 characters without 【】").unwrap_or_default().to_owned();
            let channel = fields.word("channel");
            fields.finish();
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            if scene.snapshot.signature(app, &name).is_some() {
                return Err(Error::Exists(Kind::Signature));
            }
            let made = Signature {
                id: SignatureId::new(scene.now, scene.clock.random()),
                app,
                name,
                channel,
                status: VersionStatus::Draft,
                reason: None,
                author: actor.id.clone(),
                created_at: scene.now,
            };
            let mut plan = Plan::default();
            plan.create(&made);
            let after = json!({"name": made.name, "app": app, "channel": channel});
            plan.log(
                scene,
                actor,
                Said { action: "signature.created", object: made.id.to_string(), after: Some(after), ..Default::default() },
            );
            Ok((plan, made))
        })
        .await
    }

    /// Asks for approval of a signature.
    ///
    /// # Errors
    /// There is no such signature, it is not a draft (any more), the store is away.
    pub async fn submit_signature(&self, actor: &Actor, app: AppId, name: &str) -> Result<Approval, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.signature(app, name).ok_or(Error::NotFound)?;
            if !matches!(kept.status, VersionStatus::Draft | VersionStatus::Withdrawn) {
                return Err(Error::Exists(Kind::Approval));
            }
            let mut plan = Plan::default();
            plan.update(kept, &Signature { status: VersionStatus::Pending, ..kept.value.clone() });
            let change = json!({"from": null, "to": {"signature": kept.name, "channel": kept.channel}});
            let filing = Filing { target: Target::Signature { signature: kept.id }, app: Some(app), change };
            let request = approvals::file(scene, &mut plan, actor, filing);
            Ok((plan, request))
        })
        .await
    }

    /// Takes a pending signature back.
    ///
    /// # Errors
    /// There is no such signature, it is not pending, the store is away.
    pub async fn withdraw_signature(&self, actor: &Actor, app: AppId, name: &str) -> Result<Approval, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.signature(app, name).ok_or(Error::NotFound)?;
            approvals::take_back(scene, actor, &Target::Signature { signature: kept.id }, kept.status)
        })
        .await
    }
}
