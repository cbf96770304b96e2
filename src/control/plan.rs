//! A plan: the documents that a use case changes and what the audit log will say of it.

use serde::Serialize;
use serde_json::Value;

use super::{Actor, Scene, audit::Entry, model::Record, snapshot::Kept};
use crate::store::control::Change;

/// Changes and audit entries that are committed together.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) audit: Vec<Entry>,
}

/// What the audit log says of one step, beside who and when.
#[derive(Debug, Default)]
pub struct Said<'a> {
    pub action: &'static str,
    pub object: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<&'a str>,
}

impl Plan {
    pub fn create<T: Record>(&mut self, record: &T) {
        self.change(record, 0);
    }

    pub fn update<T: Record>(&mut self, kept: &Kept<T>, record: &T) {
        self.change(record, kept.revision);
    }

    pub fn delete<T: Record>(&mut self, kept: &Kept<T>) {
        let record = &kept.value;
        self.changes.push(Change {
            kind: T::KIND,
            id: record.uuid(),
            scope: record.scope(),
            name: record.name(),
            expected: kept.revision,
            body: None,
        });
    }

    fn change<T: Record>(&mut self, record: &T, expected: i64) {
        let body = serde_json::to_string(record).expect("documents are plain structs with text keys");
        self.changes.push(Change {
            kind: T::KIND,
            id: record.uuid(),
            scope: record.scope(),
            name: record.name(),
            expected,
            body: Some(body),
        });
    }

    pub fn log(&mut self, scene: &Scene<'_>, actor: &Actor, said: Said<'_>) {
        self.audit.push(Entry {
            id: scene.audit_id(),
            at: scene.now,
            actor: actor.id.clone(),
            action: said.action.to_owned(),
            object: said.object,
            before: said.before,
            after: said.after,
            reason: said.reason.map(str::to_owned),
            address: actor.address.clone(),
            request_id: actor.request_id.clone(),
        });
    }

    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.audit.is_empty()
    }
}

/// The fields in which two views of a thing differ, as (before, after): what an audit entry and a request show.
pub fn difference(before: &impl Serialize, after: &impl Serialize) -> (Value, Value) {
    let (before, after) = (object(before), object(after));
    let mut changed = (serde_json::Map::new(), serde_json::Map::new());
    for name in before.keys().chain(after.keys()) {
        if before.get(name) != after.get(name) {
            changed.0.insert(name.clone(), before.get(name).cloned().unwrap_or(Value::Null));
            changed.1.insert(name.clone(), after.get(name).cloned().unwrap_or(Value::Null));
        }
    }
    (changed.0.into(), changed.1.into())
}

fn object(view: &impl Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(view) {
        Ok(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}
