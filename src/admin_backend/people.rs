//! People, suppressed recipients, and the log of who did what.

use serde_json::{Map, Value, json};
use tidings_admin::{
    Actor, Error,
    views::{AuditLine, AuditSearch, Listing, NewSuppression, NewUser, Suppression, User, UserChange},
};
use tidings_core::{
    id::{SuppressionId, UserId},
    redact::Text,
};

use super::{AdminBackend, ROWS, errors, messages, sessions};
use crate::control::audit::{Entry, Filter};

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

fn line(entry: Entry) -> AuditLine {
    let text = |value: Option<Value>| value.filter(|value| !value.is_null()).map(|value| Text::new(value.to_string()));
    AuditLine {
        id: entry.id.to_string(),
        at: entry.at,
        actor: entry.actor.to_string(),
        action: entry.action,
        object: entry.object,
        before: text(entry.before),
        after: text(entry.after),
        reason: entry.reason,
        address: entry.address,
    }
}

impl AdminBackend {
    pub(super) fn list_users(&self) -> Vec<User> {
        let snapshot = self.control.snapshot();
        let mut users: Vec<User> = snapshot
            .users()
            .map(|user| User {
                id: user.id.to_string(),
                name: user.name.clone(),
                role: sessions::role(user.role),
                disabled: user.disabled,
                created_at: user.created_at,
            })
            .collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    pub(super) async fn add_user(&self, actor: &Actor, user: NewUser) -> Result<(), Error> {
        let body = fields(json!({"name": user.name, "role": user.role.as_str(), "password": user.password.expose()}));
        self.control.create_user(&self.acting(actor)?, &body).await.map(drop).map_err(errors::control)
    }

    pub(super) async fn alter_user(&self, actor: &Actor, id: &str, change: UserChange) -> Result<(), Error> {
        let id: UserId = id.parse().map_err(|_| Error::NotFound)?;
        let body = fields(json!({
            "role": change.role.map(|role| role.as_str()),
            "password": change.password.as_ref().map(|password| password.expose()),
            "disabled": change.disabled,
        }));
        self.control.change_user(&self.acting(actor)?, id, &body).await.map(drop).map_err(errors::control)
    }

    pub(super) fn list_suppressions(&self, before: Option<&str>) -> Listing<Suppression> {
        let snapshot = self.control.snapshot();
        let before: Option<SuppressionId> = before.and_then(|id| id.parse().ok());
        let mut found: Vec<_> = snapshot.suppressions().filter(|kept| before.is_none_or(|before| kept.id < before)).collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.id));
        let next = (found.len() > ROWS).then(|| found[ROWS - 1].id.to_string());
        let rows = found.into_iter().take(ROWS).map(|kept| Suppression {
            id: kept.id.to_string(),
            to: kept.masked.clone(),
            app: kept.app.map(|id| snapshot.app(id).map_or_else(|| id.to_string(), |app| app.name.clone())),
            reason: kept.reason.clone(),
            created_at: kept.created_at,
        });
        Listing { rows: rows.collect(), next }
    }

    pub(super) async fn add_suppression(&self, actor: &Actor, suppression: NewSuppression) -> Result<(), Error> {
        let mut body = fields(json!({"app": suppression.app, "reason": suppression.reason}));
        body.insert("to".to_owned(), messages::recipient(&suppression.to));
        self.control.create_suppression(&self.acting(actor)?, &body).await.map(drop).map_err(errors::control)
    }

    pub(super) async fn remove_suppression(&self, actor: &Actor, id: &str) -> Result<(), Error> {
        let id: SuppressionId = id.parse().map_err(|_| Error::NotFound)?;
        self.control.delete_suppression(&self.acting(actor)?, id).await.map_err(errors::control)
    }

    pub(super) async fn read_audit(&self, search: &AuditSearch, before: Option<&str>) -> Result<Listing<AuditLine>, Error> {
        let filter = Filter {
            actor: search.actor.clone(),
            action: search.action.clone(),
            object: search.object.clone(),
            from: search.from,
            until: search.until,
        };
        let before = before.and_then(|number| number.parse().ok());
        let mut entries = self.control.audit_log(&filter, before, ROWS as u32 + 1).await.map_err(errors::control)?;
        let more = entries.len() > ROWS;
        entries.truncate(ROWS);
        let next = entries.last().filter(|_| more).map(|(number, _)| number.to_string());
        Ok(Listing { rows: entries.into_iter().map(|(_, entry)| line(entry)).collect(), next })
    }
}
