//! Apps, their keys, templates and signatures.

use serde_json::{Map, Value, json};
use tidings_admin::{
    Actor, Error,
    views::{App, AppChange, AppDetail, Key, NewApp, NewKey, ShownKey, Signature, Template, TemplateVersion},
};
use tidings_core::id::{AppId, KeyId};

use super::{AdminBackend, errors};
use crate::control::{
    Snapshot,
    apps::Changed,
    model::{self, ApiKey},
};

fn app(snapshot: &Snapshot, app: &model::App) -> App {
    App {
        id: app.id.to_string(),
        name: app.name.clone(),
        live: app.live,
        suspended: app.suspended,
        free_text: app.free_text,
        channels: app.channels.iter().map(ToString::to_string).collect(),
        countries: app.countries.clone(),
        max_per_s: app.max_per_s,
        daily_quota: app.daily_quota,
        created_at: app.created_at,
        keys: snapshot.keys().filter(|key| key.app == app.id && key.revoked_at.is_none()).count(),
    }
}

fn read_app(id: &str) -> Result<AppId, Error> {
    id.parse().map_err(|_| Error::NotFound)
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl AdminBackend {
    pub(super) fn list_apps(&self) -> Vec<App> {
        let snapshot = self.control.snapshot();
        let mut apps: Vec<App> = snapshot.apps().map(|kept| app(&snapshot, kept)).collect();
        apps.sort_by(|one, other| one.name.cmp(&other.name));
        apps
    }

    pub(super) async fn see_app(&self, id: &str) -> Result<Option<AppDetail>, Error> {
        let Ok(id) = read_app(id) else { return Ok(None) };
        // Last uses come from the store; without it the page says the rest.
        let uses = self.control.key_uses().await.unwrap_or_default();
        let snapshot = self.control.snapshot();
        let Some(kept) = snapshot.app(id) else { return Ok(None) };
        let mut keys: Vec<&ApiKey> = snapshot.keys().filter(|key| key.app == id).map(|key| &key.value).collect();
        keys.sort_by_key(|key| (key.revoked_at.is_some(), std::cmp::Reverse(key.id)));
        let key = |key: &ApiKey| Key {
            id: key.id.to_string(),
            name: key.name.clone(),
            scopes: key.scopes.iter().map(|scope| scope.to_string()).collect(),
            test: key.test,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: uses.get(&key.id).copied(),
            revoked: key.revoked_at.is_some(),
        };
        Ok(Some(AppDetail { app: app(&snapshot, kept), keys: keys.into_iter().map(key).collect(), sent_today: None }))
    }

    pub(super) async fn ask_for_app(&self, actor: &Actor, app: NewApp) -> Result<String, Error> {
        let body = fields(json!({"name": app.name, "live": app.live, "free_text": app.free_text}));
        let request = self.control.request_app(&self.acting(actor)?, &body).await.map_err(errors::control)?;
        Ok(request.id.to_string())
    }

    pub(super) async fn alter_app(&self, actor: &Actor, id: &str, change: AppChange) -> Result<Option<String>, Error> {
        let mut body = fields(json!({
            "live": change.live,
            "free_text": change.free_text,
            "suspended": change.suspended,
            "max_per_s": change.max_per_s,
            "daily_quota": change.daily_quota,
            "channels": change.channels,
            "countries": change.countries,
        }));
        body.retain(|_, value| !value.is_null());
        match self.control.change_app(&self.acting(actor)?, read_app(id)?, &body).await.map_err(errors::control)? {
            Changed::Now(_) => Ok(None),
            Changed::Requested(request) => Ok(Some(request.id.to_string())),
        }
    }

    pub(super) async fn make_key(&self, actor: &Actor, app: &str, key: NewKey) -> Result<ShownKey, Error> {
        let mut body = fields(json!({"name": key.name, "scopes": key.scopes, "test": key.test, "expires_at": key.expires_at}));
        body.retain(|_, value| !value.is_null());
        let made = self.control.create_key(&self.acting(actor)?, read_app(app)?, &body).await.map_err(errors::control)?;
        Ok(ShownKey { id: made.key.id.to_string(), secret: made.secret })
    }

    pub(super) async fn end_key(&self, actor: &Actor, app: &str, key: &str) -> Result<(), Error> {
        let key: KeyId = key.parse().map_err(|_| Error::NotFound)?;
        self.control.revoke_key(&self.acting(actor)?, read_app(app)?, key).await.map_err(errors::control)
    }

    pub(super) fn list_templates(&self) -> Vec<Template> {
        let snapshot = self.control.snapshot();
        let version = |version: &model::TemplateVersion| TemplateVersion {
            version: version.version,
            status: version.status.to_string(),
            text: version.text.clone(),
            params: version.params.clone(),
            reason: version.reason.clone(),
        };
        let mut templates: Vec<Template> = snapshot
            .templates()
            .map(|ready| Template {
                app: snapshot.app(ready.template.app).map_or_else(String::new, |app| app.name.clone()),
                name: ready.template.name.clone(),
                channel: ready.template.channel,
                category: ready.template.category,
                locale: ready.template.default_locale.clone(),
                archived: ready.template.archived,
                versions: ready.template.versions.iter().rev().map(version).collect(),
            })
            .collect();
        templates.sort_by(|one, other| (&one.app, &one.name).cmp(&(&other.app, &other.name)));
        templates
    }

    pub(super) fn list_signatures(&self) -> Vec<Signature> {
        let snapshot = self.control.snapshot();
        let mut signatures: Vec<Signature> = snapshot
            .signatures()
            .map(|kept| Signature {
                app: snapshot.app(kept.app).map_or_else(String::new, |app| app.name.clone()),
                name: kept.name.clone(),
                channel: kept.channel,
                status: kept.status.to_string(),
                reason: kept.reason.clone(),
            })
            .collect();
        signatures.sort_by(|one, other| (&one.app, &one.name).cmp(&(&other.app, &other.name)));
        signatures
    }
}
