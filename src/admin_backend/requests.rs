//! Requests for approval, with what would change by them.

use serde_json::Value;
use tidings_admin::{
    Actor, Error,
    views::{ChangedField, Comment, Listing, RequestDetail, RequestKind, RequestRow, RequestStatus},
};
use tidings_core::id::ApprovalId;

use super::{AdminBackend, ROWS, errors};
use crate::control::{
    Snapshot,
    model::{self, Approval, Decision, Target},
};

const fn status(status: model::RequestStatus) -> RequestStatus {
    match status {
        model::RequestStatus::Pending => RequestStatus::Pending,
        model::RequestStatus::Approved => RequestStatus::Approved,
        model::RequestStatus::Rejected => RequestStatus::Rejected,
        model::RequestStatus::Withdrawn => RequestStatus::Withdrawn,
    }
}

const fn kind(kind: model::RequestKind) -> RequestKind {
    match kind {
        model::RequestKind::App => RequestKind::App,
        model::RequestKind::AppChange => RequestKind::AppChange,
        model::RequestKind::TemplateVersion => RequestKind::TemplateVersion,
        model::RequestKind::Signature => RequestKind::Signature,
        model::RequestKind::RoutingRevision => RequestKind::RoutingRevision,
    }
}

fn row(snapshot: &Snapshot, request: &Approval) -> RequestRow {
    RequestRow {
        id: request.id.to_string(),
        kind: kind(request.target.kind()),
        status: status(request.status),
        title: title(snapshot, &request.target),
        app: request.app.and_then(|app| snapshot.app(app)).map(|app| app.name.clone()),
        author: request.author.to_string(),
        created_at: request.created_at,
        decided_by: request.decided_by.as_ref().map(ToString::to_string),
        decided_at: request.decided_at,
        reason: request.reason.clone(),
    }
}

fn title(snapshot: &Snapshot, target: &Target) -> String {
    match target {
        Target::App(app) => format!("App {}", app.name),
        Target::AppChange { app, fields } => {
            let name = snapshot.app(*app).map_or_else(|| app.to_string(), |app| app.name.clone());
            let fields: Vec<String> = fields.keys().map(|field| field.replace('_', " ")).collect();
            format!("{name}: {}", fields.join(", "))
        }
        Target::TemplateVersion { template, version } => {
            let name = snapshot.template_by_id(*template).map_or_else(|| template.to_string(), |ready| ready.template.name.clone());
            format!("{name}@{version}")
        }
        Target::Signature { signature } => {
            let name = snapshot.signature_by_id(*signature).map_or_else(|| signature.to_string(), |kept| kept.name.clone());
            format!("Signature {name}")
        }
        Target::RoutingRevision { number } => format!("Revision {number}"),
    }
}

/// A change as `{from, to}`, or as a list of changed paths, as fields with their text before and after.
fn changes(change: &Value) -> Vec<ChangedField> {
    let text = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(readable);
    if let Some(list) = change.as_array().or_else(|| change.get("changes").and_then(Value::as_array)) {
        let path = |item: &Value| item.get("path").and_then(Value::as_str).unwrap_or("change").to_owned();
        return list
            .iter()
            .map(|item| ChangedField { name: path(item), before: text(item.get("from")), after: text(item.get("to")) })
            .collect();
    }
    let (from, to) = (change.get("from"), change.get("to"));
    let field = |side: Option<&Value>, name: &str| text(side.and_then(|side| side.get(name)));
    let mut names: Vec<&String> = [from, to].into_iter().flatten().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    names.dedup();
    let mut out: Vec<ChangedField> = Vec::new();
    for name in names {
        if !out.iter().any(|known| known.name == *name) {
            out.push(ChangedField { name: name.clone(), before: field(from, name), after: field(to, name) });
        }
    }
    out.retain(|changed| changed.before != changed.after);
    out
}

/// A value as text: strings as they are, the rest as indented JSON.
fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

impl AdminBackend {
    pub(super) fn list_requests(&self, wanted: Option<RequestStatus>, before: Option<&str>) -> Listing<RequestRow> {
        let snapshot = self.control.snapshot();
        let before: Option<ApprovalId> = before.and_then(|id| id.parse().ok());
        let fits = |request: &&std::sync::Arc<crate::control::snapshot::Kept<Approval>>| {
            wanted.is_none_or(|wanted| status(request.status) == wanted) && before.is_none_or(|before| request.id < before)
        };
        let mut found: Vec<_> = snapshot.approvals().filter(fits).collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.id));
        let next = (found.len() > ROWS).then(|| found[ROWS - 1].id.to_string());
        Listing { rows: found.into_iter().take(ROWS).map(|request| row(&snapshot, request)).collect(), next }
    }

    pub(super) fn see_request(&self, id: &str) -> Option<RequestDetail> {
        let snapshot = self.control.snapshot();
        let request = snapshot.approval(id.parse().ok()?)?;
        // The pair of eyes behind a key is its maker's.
        let author = request.author_maker.as_ref().unwrap_or(&request.author);
        let comments = request.comments.iter();
        let comments = comments.map(|comment| Comment { at: comment.at, by: comment.by.to_string(), text: comment.text.clone() });
        Some(RequestDetail {
            row: row(&snapshot, request),
            author_id: author.to_string(),
            changes: changes(&request.change),
            comments: comments.collect(),
        })
    }

    pub(super) async fn decide(&self, actor: &Actor, id: &str, decision: Decision) -> Result<(), Error> {
        let id: ApprovalId = id.parse().map_err(|_| Error::NotFound)?;
        self.control.decide(&self.acting(actor)?, id, decision).await.map(drop).map_err(errors::control)
    }

    pub(super) async fn discuss(&self, actor: &Actor, id: &str, text: &str) -> Result<(), Error> {
        let id: ApprovalId = id.parse().map_err(|_| Error::NotFound)?;
        self.control.comment(&self.acting(actor)?, id, text).await.map(drop).map_err(errors::control)
    }
}
