//! Routing revisions: written, compared, submitted, activated for a share of recipients, rolled back.

use serde_json::{Map, Value, json};

use super::{
    Actor, Control, Error, Plan, Scene,
    approvals::{self, Filing},
    diff::{self, FieldChange},
    fields::{Fault, Fields},
    model::{ActorId, Approval, Kind, Provider, RoutingDocument, RoutingRevision, RoutingState, SettingValue, Target, VersionStatus},
    plan::Said,
    routing,
    snapshot::Kept,
};
use crate::seal::Keyring;

/// How a secret shows where it shows at all.
const SEALED: &str = "[sealed]";
const SEALED_OTHERWISE: &str = "[sealed, changed]";

impl Control {
    /// Makes the next revision out of a document. A secret that it leaves out keeps the value of the revision in force.
    ///
    /// # Errors
    /// The document is not valid (all that is wrong is said), the store is away.
    pub async fn create_revision(&self, actor: &Actor, body: &Map<String, Value>) -> Result<RoutingRevision, Error> {
        self.change(|scene| {
            let newest = scene.snapshot.revisions().max_by_key(|revision| revision.number);
            let earlier = scene.snapshot.routing().base.as_ref().or(newest).map(|revision| &revision.document);
            let mut faults = Vec::new();
            let mut document = routing::read("", body, earlier, &mut faults);
            if document.providers.is_empty() && faults.is_empty() {
                faults.push(Fault::new("/providers", "required", "a revision has at least one provider"));
            }
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            routing::seal(&mut document, scene.sealing());
            let revision = RoutingRevision {
                id: scene.uuid(),
                number: newest.map_or(1, |newest| newest.number + 1),
                status: VersionStatus::Draft,
                author: actor.id.clone(),
                created_at: scene.now,
                document,
            };
            let mut plan = Plan::default();
            plan.create(&revision);
            let changes = compare(earlier, &revision.document, scene.sealing())?;
            let after = json!({"number": revision.number, "changes": changes});
            plan.log(
                scene,
                actor,
                Said { action: "routing_revision.created", object: revision.number.to_string(), after: Some(after), ..Default::default() },
            );
            Ok((plan, revision))
        })
        .await
    }

    /// Asks for approval of a revision.
    ///
    /// # Errors
    /// There is no such revision, it was submitted before, the store is away.
    pub async fn submit_revision(&self, actor: &Actor, number: u32) -> Result<Approval, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.revision(number).ok_or(Error::NotFound)?;
            if !matches!(kept.status, VersionStatus::Draft | VersionStatus::Withdrawn) {
                return Err(Error::Exists(Kind::Approval));
            }
            let base = scene.snapshot.routing().base.as_ref();
            let changes = compare(base.map(|base| &base.document), &kept.document, scene.sealing())?;
            let mut plan = Plan::default();
            plan.update(kept, &RoutingRevision { status: VersionStatus::Pending, ..kept.value.clone() });
            let change = json!({"from": base.map(|base| base.number), "to": number, "changes": changes});
            let request =
                approvals::file(scene, &mut plan, actor, Filing { target: Target::RoutingRevision { number }, app: None, change });
            Ok((plan, request))
        })
        .await
    }

    /// Puts an approved revision into force for a share of the recipients; an older one again is the rollback.
    ///
    /// # Errors
    /// There is no such revision, it is not approved, the actor is its author, the store is away.
    pub async fn activate_revision(&self, actor: &Actor, number: u32, body: &Map<String, Value>) -> Result<RoutingRevision, Error> {
        let mut faults = Vec::new();
        let mut fields = Fields::new("", body, &mut faults);
        let percent = fields.required("percent", |fields, name| fields.number(name, 1..=100));
        fields.finish();
        let (Some(percent), []) = (percent, faults.as_slice()) else { return Err(Error::Invalid(faults)) };
        let percent = percent as u8;
        self.change(|scene| {
            let kept = scene.snapshot.revision(number).ok_or(Error::NotFound)?;
            if is_own(scene, &kept.value, &actor.id) {
                return Err(Error::OwnRequest);
            }
            if kept.status != VersionStatus::Approved {
                return Err(Error::NotApproved("only an approved revision can be activated"));
            }
            let mut plan = Plan::default();
            let before =
                scene.snapshot.routing_state().map(|state| json!({"base": state.base, "trial": state.trial, "percent": state.percent}));
            let next = match scene.snapshot.routing_state() {
                Some(state) => {
                    let next = state.value.clone().activate(number, percent);
                    plan.update(state, &next);
                    next
                }
                None => {
                    // Nothing was in force: a share of nothing would leave the others without a route.
                    let first = RoutingState { id: scene.uuid(), base: number, trial: None, percent: 0 };
                    plan.create(&first);
                    first
                }
            };
            let after = json!({"base": next.base, "trial": next.trial, "percent": next.percent});
            let said =
                Said { action: "routing_revision.activated", object: number.to_string(), before, after: Some(after), ..Default::default() };
            plan.log(scene, actor, said);
            Ok((plan, kept.value.clone()))
        })
        .await
    }

    /// What would change from one revision to another, without secrets.
    ///
    /// # Errors
    /// There is no such revision, or a secret cannot be opened.
    pub fn diff_revisions(&self, from: Option<u32>, to: u32) -> Result<(Option<u32>, Vec<FieldChange>), Error> {
        let snapshot = self.snapshot();
        let to = snapshot.revision(to).ok_or(Error::NotFound)?;
        let from: Option<&Kept<RoutingRevision>> = match from {
            Some(number) => Some(snapshot.revision(number).ok_or(Error::NotFound)?),
            None => snapshot.routing().base.as_deref().filter(|base| base.number != to.number),
        };
        let changes = compare(from.map(|from| &from.document), &to.document, &self.sealing())?;
        Ok((from.map(|from| from.number), changes))
    }
}

/// The author is who wrote it, and who made the key that wrote it.
fn is_own(scene: &Scene<'_>, revision: &RoutingRevision, actor: &ActorId) -> bool {
    let target = Target::RoutingRevision { number: revision.number };
    revision.author == *actor || scene.snapshot.approvals().any(|request| request.target == target && request.is_own(actor))
}

/// A document as people may see it: secrets are named, not shown.
pub fn shown(document: &RoutingDocument) -> Value {
    let providers: Vec<Value> = document.providers.iter().map(|provider| shown_provider(provider, |_| SEALED)).collect();
    json!({"providers": providers, "routes": document.routes})
}

/// Whether a value of [`shown`] stands for a secret.
pub fn is_sealed(value: &Value) -> bool {
    value == SEALED
}

fn shown_provider(provider: &Provider, secret: impl Fn(&str) -> &'static str) -> Value {
    let settings: Map<String, Value> = provider
        .settings
        .iter()
        .map(|(name, value)| match value {
            SettingValue::Plain(plain) => (name.clone(), plain.clone()),
            SettingValue::Sealed { .. } => (name.clone(), secret(name).into()),
        })
        .collect();
    let bare = Provider { settings: std::collections::BTreeMap::new(), ..provider.clone() };
    let mut value = serde_json::to_value(&bare).unwrap_or_default();
    value["settings"] = settings.into();
    value
}

/// Fields that differ; providers are compared by name, routes by place.
fn compare(old: Option<&RoutingDocument>, new: &RoutingDocument, keyring: &Keyring) -> Result<Vec<FieldChange>, Error> {
    let mut old_providers = Map::new();
    for provider in old.iter().flat_map(|old| &old.providers) {
        old_providers.insert(provider.name.clone(), shown_provider(provider, |_| SEALED));
    }
    let mut new_providers = Map::new();
    for provider in &new.providers {
        let before = old.and_then(|old| old.provider(&provider.name));
        let changed = changed_secrets(before, provider, keyring)?;
        let secret = |name: &str| if changed.iter().any(|changed| changed == name) { SEALED_OTHERWISE } else { SEALED };
        new_providers.insert(provider.name.clone(), shown_provider(provider, secret));
    }
    let by_place = |document: &RoutingDocument| -> Map<String, Value> {
        let routes = document.routes.iter().enumerate();
        routes.map(|(index, route)| (index.to_string(), serde_json::to_value(route).unwrap_or_default())).collect()
    };
    let old = json!({"providers": old_providers, "routes": old.map(by_place).unwrap_or_default()});
    Ok(diff::fields(&old, &json!({"providers": new_providers, "routes": by_place(new)})))
}

/// Secrets that both have, with different values. The same value sealed twice is not the same blob, so both are opened.
fn changed_secrets(old: Option<&Provider>, new: &Provider, keyring: &Keyring) -> Result<Vec<String>, Error> {
    let Some(old) = old else { return Ok(Vec::new()) };
    let (before, after) = (routing::open_settings(old, keyring)?, routing::open_settings(new, keyring)?);
    let sealed = new.settings.iter().filter(|(_, value)| matches!(value, SettingValue::Sealed { .. })).map(|(name, _)| name);
    Ok(sealed.filter(|name| before.get(*name).is_some_and(|value| after.get(*name) != Some(value))).cloned().collect())
}
