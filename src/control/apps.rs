//! Apps and their keys: asked for, changed, suspended; made, shown once, revoked.
//!
//! What gives an app more (production access, free text, higher limits, more channels or countries, an end of its
//! suspension) is a request that somebody else approves. What takes something away acts at once.

use serde_json::{Map, Value};
use tidings_core::{
    id::{AppId, KeyId},
    message::Channel,
    redact::Secret,
    time::Timestamp,
};

use super::{
    Actor, Control, Error, Plan,
    approvals::{self, Filing},
    bootstrap::{is_key_name, read_settings},
    fields::{Fault, Fields},
    model::{ApiKey, App, Approval, Kind, RecipientCap, RequestStatus, Scope, Scopes, Target},
    plan::{Said, difference},
    revocations::Revocation,
    tokens,
};

/// The fields of an app that a change may name.
const CHANGEABLE: [&str; 10] = [
    "free_text",
    "live",
    "max_per_s",
    "daily_quota",
    "monthly_quota",
    "channels",
    "countries",
    "suspended",
    "recipient_caps",
    "link_domains",
];

/// What a change of an app came to.
#[derive(Debug)]
pub enum Changed {
    /// Everything acted at once.
    Now(Box<App>),
    /// What widens waits for approval; what narrows acted at once.
    Requested(Box<Approval>),
}

/// A new key, with the only showing of its secret.
#[derive(Debug)]
pub struct NewKey {
    pub key: ApiKey,
    pub secret: Secret,
}

impl Control {
    /// Files the request for a new app.
    ///
    /// # Errors
    /// The fields are not valid, the name is taken or asked for already, the store is away.
    pub async fn request_app(&self, actor: &Actor, body: &Map<String, Value>) -> Result<Approval, Error> {
        self.change(|scene| {
            let mut faults = Vec::new();
            let mut fields = Fields::new("", body, &mut faults);
            let name = fields.name("name", App::is_name, "1 to 64 characters").unwrap_or_default().to_owned();
            let mut app = App::new(AppId::new(scene.now, scene.clock.random()), &name, scene.now, actor.id.clone());
            read_settings(&mut fields, &mut app);
            fields.finish();
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            let asked_for = |request: &Approval| {
                request.status == RequestStatus::Pending && matches!(&request.target, Target::App(other) if other.name == name)
            };
            if scene.snapshot.app_named(&name).is_some() || scene.snapshot.approvals().any(|request| asked_for(request)) {
                return Err(Error::Exists(Kind::App));
            }
            let mut plan = Plan::default();
            let change = serde_json::json!({"from": null, "to": shown(&app)});
            let filing = Filing { target: Target::App(Box::new(app.clone())), app: Some(app.id), change };
            let request = approvals::file(scene, &mut plan, actor, filing);
            Ok((plan, request))
        })
        .await
    }

    /// Changes an app: what narrows at once, what widens by a request.
    ///
    /// # Errors
    /// There is no such app, the fields are not valid, the store is away.
    pub async fn change_app(&self, actor: &Actor, app: AppId, body: &Map<String, Value>) -> Result<Changed, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.app(app).ok_or(Error::NotFound)?;
            let mut faults = Vec::new();
            let wanted = apply(kept, body, &mut faults);
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            let mut narrowed = kept.value.clone();
            let mut widening = Map::new();
            for name in CHANGEABLE.iter().filter(|name| body.get(**name).is_some_and(|value| !value.is_null())) {
                let one: Map<String, Value> = std::iter::once(((*name).to_owned(), body[*name].clone())).collect();
                let alone = apply(&narrowed, &one, &mut Vec::new());
                if widens(name, kept, &wanted) { widening.extend(one) } else { narrowed = alone }
            }
            let mut plan = Plan::default();
            if narrowed != kept.value {
                let (before, after) = difference(&kept.value, &narrowed);
                plan.update(kept, &narrowed);
                let action = if narrowed.suspended && !kept.suspended { "app.suspended" } else { "app.changed" };
                plan.log(
                    scene,
                    actor,
                    Said { action, object: app.to_string(), before: Some(before), after: Some(after), ..Default::default() },
                );
            }
            if widening.is_empty() {
                return Ok((plan, Changed::Now(Box::new(narrowed))));
            }
            let (from, to) = difference(&kept.value, &apply(kept, &widening, &mut Vec::new()));
            let filing = Filing {
                target: Target::AppChange { app, fields: widening },
                app: Some(app),
                change: serde_json::json!({"from": from, "to": to}),
            };
            let request = approvals::file(scene, &mut plan, actor, filing);
            Ok((plan, Changed::Requested(Box::new(request))))
        })
        .await
    }

    /// Makes a key.
    ///
    /// # Errors
    /// There is no such app, the fields are not valid, the app has a key of this name, the store is away.
    pub async fn create_key(&self, actor: &Actor, app: AppId, body: &Map<String, Value>) -> Result<NewKey, Error> {
        self.change(|scene| {
            let app = scene.snapshot.app(app).ok_or(Error::NotFound)?;
            let mut faults = Vec::new();
            let (name, scopes, test, expires_at) = read_key(body, scene.now, &mut faults);
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            if scene.snapshot.keys().any(|key| key.app == app.id && key.name == name) {
                return Err(Error::Exists(Kind::ApiKey));
            }
            let secret = super::model::KeyHash::secret(test, scene.clock.random());
            let key = ApiKey {
                id: KeyId::new(scene.now, scene.clock.random()),
                app: app.id,
                name,
                hash: super::model::KeyHash::of(&secret),
                hint: ApiKey::hint_of(&secret),
                scopes,
                test,
                expires_at,
                revoked_at: None,
                created_at: scene.now,
                created_by: actor.id.clone(),
            };
            let mut plan = Plan::default();
            plan.create(&key);
            let after = serde_json::json!({"name": key.name, "app": key.app, "scopes": key.scopes, "test": test, "expires_at": expires_at});
            plan.log(scene, actor, Said { action: "key.created", object: key.id.to_string(), after: Some(after), ..Default::default() });
            Ok((plan, NewKey { key, secret: Secret::new(secret) }))
        })
        .await
    }

    /// Ends a key and every token exchanged for it.
    ///
    /// # Errors
    /// The app has no such key, the store is away.
    pub async fn revoke_key(&self, actor: &Actor, app: AppId, key: KeyId) -> Result<(), Error> {
        let revoked = self.change(|scene| {
            let kept = scene.snapshot.key(key).filter(|key| key.app == app).ok_or(Error::NotFound)?;
            let mut plan = Plan::default();
            if kept.revoked_at.is_none() {
                plan.update(kept, &ApiKey { revoked_at: Some(scene.now), ..kept.value.clone() });
                tokens::end_all(scene, &mut plan, |family| family.key == Some(key));
                plan.log(scene, actor, Said { action: "key.revoked", object: key.to_string(), ..Default::default() });
            }
            Ok((plan, ()))
        });
        let revoked = revoked.await;
        self.revoked_by(revoked, Revocation::key(key, actor)).await
    }
}

/// The app as these fields make it; with faults it is not to be used.
pub(super) fn apply(app: &App, body: &Map<String, Value>, faults: &mut Vec<Fault>) -> App {
    let mut changed = app.clone();
    let mut fields = Fields::new("", body, faults);
    read_settings(&mut fields, &mut changed);
    if let Some(suspended) = fields.flag("suspended") {
        changed.suspended = suspended;
    }
    fields.finish();
    changed
}

fn read_key(body: &Map<String, Value>, now: Timestamp, faults: &mut Vec<Fault>) -> (String, Scopes, bool, Option<Timestamp>) {
    let mut fields = Fields::new("", body, faults);
    let name = fields.name("name", is_key_name, "1 to 64 characters").unwrap_or_default().to_owned();
    let scopes: Vec<Scope> = fields.required("scopes", |fields, name| Some(fields.words(name))).unwrap_or_default();
    if body.get("scopes").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.fault("scopes", "required", "must name at least one scope");
    }
    let test = fields.flag("test").unwrap_or(false);
    let expires_at = fields.time("expires_at");
    if expires_at.is_some_and(|end| end <= now) {
        fields.fault("expires_at", "range", "must be in the future");
    }
    fields.finish();
    (name, scopes.into_iter().collect(), test, expires_at)
}

/// Whether a field's change gives the app more than it has.
fn widens(field: &str, old: &App, new: &App) -> bool {
    // 0 is no limit of its own: the most there is.
    let more = |old: u64, new: u64| old != 0 && (new == 0 || new > old);
    match field {
        "free_text" => new.free_text && !old.free_text,
        "live" => new.live && !old.live,
        "suspended" => !new.suspended && old.suspended,
        "max_per_s" => more(old.max_per_s.into(), new.max_per_s.into()),
        "daily_quota" => more(old.daily_quota, new.daily_quota),
        "monthly_quota" => more(old.monthly_quota, new.monthly_quota),
        "channels" => {
            !old.channels.is_empty()
                && (new.channels.is_empty() || new.channels.iter().any(|channel: &Channel| !old.channels.contains(channel)))
        }
        "countries" => {
            let within = |code: &String| old.countries.iter().any(|known| code.starts_with(known.as_str()));
            !old.countries.is_empty() && (new.countries.is_empty() || !new.countries.iter().all(within))
        }
        "recipient_caps" => {
            let kept = |cap: &RecipientCap| {
                let same = |other: &&RecipientCap| other.category == cap.category && other.window_s == cap.window_s;
                new.recipient_caps.iter().find(same).is_some_and(|other| other.max <= cap.max)
            };
            !old.recipient_caps.iter().all(kept)
        }
        "link_domains" => new.link_domains.iter().any(|domain| !old.link_domains.contains(domain)),
        _ => true,
    }
}

/// An app as requests and the audit log show it: it has no secrets.
fn shown(app: &App) -> Value {
    serde_json::to_value(app).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::model::ActorId;

    fn app(fields: Value) -> App {
        let app = App::new(AppId::new(Timestamp::default(), [0; 10]), "shop", Timestamp::default(), ActorId::system());
        let mut faults = Vec::new();
        let app = apply(&app, fields.as_object().unwrap(), &mut faults);
        assert_eq!(faults, []);
        app
    }

    #[test]
    fn what_gives_more_is_told_from_what_takes_away() {
        use serde_json::json;
        for (field, old, new, wider) in [
            ("live", json!(false), json!(true), true),
            ("live", json!(true), json!(false), false),
            ("suspended", json!(true), json!(false), true),
            ("suspended", json!(false), json!(true), false),
            ("daily_quota", json!(0), json!(10), false),
            ("daily_quota", json!(10), json!(0), true),
            ("daily_quota", json!(10), json!(9), false),
            ("max_per_s", json!(10), json!(11), true),
            ("channels", json!([]), json!(["sms"]), false),
            ("channels", json!(["sms"]), json!(["sms", "voice"]), true),
            ("channels", json!(["sms"]), json!([]), true),
            ("countries", json!(["1"]), json!(["1787"]), false),
            ("countries", json!(["86"]), json!(["86", "49"]), true),
            ("link_domains", json!(["a.example"]), json!([]), false),
            ("link_domains", json!([]), json!(["a.example"]), true),
            ("recipient_caps", json!([]), json!([{"category": "otp", "max": 3, "window_s": 60}]), false),
            ("recipient_caps", json!([{"category": "otp", "max": 3, "window_s": 60}]), json!([]), true),
        ] {
            let (old, new) = (app(json!({field: old})), app(json!({field: new})));
            assert_eq!(widens(field, &old, &new), wider, "{field}: {old:?} to {new:?}");
        }
    }

    #[test]
    fn every_setting_that_can_be_changed_is_weighed() {
        for field in CHANGEABLE {
            let same = app(serde_json::json!({}));
            assert!(!widens(field, &same, &same), "{field} is not weighed");
        }
    }
}
