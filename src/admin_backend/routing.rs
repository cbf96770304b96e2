//! Routing revisions as documents that a person can read, compare and write.

use serde_json::{Map, Value};
use tidings_admin::{
    Actor, Error,
    backend::Fault,
    views::{RevisionDetail, RevisionRow},
};
use tidings_core::redact::Text;

use super::{AdminBackend, errors};
use crate::control::{
    Snapshot,
    model::{RoutingDocument, RoutingRevision},
    revisions,
};

fn row(snapshot: &Snapshot, revision: &RoutingRevision) -> RevisionRow {
    RevisionRow {
        number: revision.number,
        status: revision.status.to_string(),
        author: revision.author.to_string(),
        created_at: revision.created_at,
        percent: snapshot.routing_state().map_or(0, |state| state.percent_of(revision.number)),
    }
}

/// The document as the bootstrap file writes it, without what is empty and without secrets.
fn text(document: &RoutingDocument) -> String {
    let value = clean(revisions::shown(document));
    toml::to_string_pretty(&value).unwrap_or_else(|_| serde_json::to_string_pretty(&value).unwrap_or_default())
}

/// TOML has no null, and a sealed secret that is left out keeps its value.
fn clean(value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            let kept: Map<String, Value> = map
                .into_iter()
                .map(|(name, value)| (name, clean(value)))
                .filter(|(_, value)| !empty(value) && !revisions::is_sealed(value))
                .collect();
            Value::Object(kept)
        }
        Value::Array(list) => Value::Array(list.into_iter().map(clean).collect()),
        value => value,
    }
}

/// Reads TOML, or JSON as the API takes it.
fn read(document: &str) -> Result<Map<String, Value>, Error> {
    let fault = |text: String| Error::Invalid(vec![Fault { field: "document".to_owned(), text }]);
    if document.trim_start().starts_with('{') {
        return serde_json::from_str(document)
            .map_err(|error| fault(format!("Not JSON: line {}, column {}.", error.line(), error.column())));
    }
    toml::from_str(document).map_err(|error: toml::de::Error| {
        // Its message alone: the whole error shows the line, and a line may hold a secret.
        let line = error.span().map_or(0, |span| document[..span.start.min(document.len())].lines().count().max(1));
        fault(format!("Not TOML, line {line}: {}.", error.message().lines().next().unwrap_or_default()))
    })
}

impl AdminBackend {
    pub(super) fn list_revisions(&self) -> Vec<RevisionRow> {
        let snapshot = self.control.snapshot();
        let mut rows: Vec<RevisionRow> = snapshot.revisions().map(|revision| row(&snapshot, revision)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.number));
        rows
    }

    pub(super) fn see_revision(&self, number: u32) -> Option<RevisionDetail> {
        let snapshot = self.control.snapshot();
        let revision = snapshot.revision(number)?;
        let active = snapshot.routing().base.as_ref().filter(|base| base.number != number).cloned();
        let earlier = || (1..number).rev().find_map(|number| snapshot.revision(number)).cloned();
        let compared = active.or_else(earlier);
        Some(RevisionDetail {
            row: row(&snapshot, revision),
            author_id: revision.author.to_string(),
            document: text(&revision.document),
            compared_with: compared.map(|other| (other.number, text(&other.document))),
        })
    }

    pub(super) async fn draft_revision(&self, actor: &Actor, document: &Text) -> Result<u32, Error> {
        let body = read(document.expose())?;
        let made = self.control.create_revision(&self.acting(actor)?, &body).await.map_err(errors::control);
        made.map(|revision| revision.number).map_err(|error| match error {
            // All faults are about the one field there is.
            Error::Invalid(faults) => {
                Error::Invalid(faults.into_iter().map(|fault| Fault { field: "document".to_owned(), ..fault }).collect())
            }
            error => error,
        })
    }

    pub(super) async fn hand_in_revision(&self, actor: &Actor, number: u32) -> Result<(), Error> {
        self.control.submit_revision(&self.acting(actor)?, number).await.map(drop).map_err(errors::control)
    }

    pub(super) async fn put_revision_into_force(&self, actor: &Actor, number: u32, percent: u8) -> Result<(), Error> {
        let body: Map<String, Value> = std::iter::once(("percent".to_owned(), Value::from(percent))).collect();
        self.control.activate_revision(&self.acting(actor)?, number, &body).await.map(drop).map_err(errors::control)
    }
}
