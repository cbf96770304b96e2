//! `GET /v1/admin/audit`

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use tidings_core::{id::AuditId, time::Timestamp};
use utoipa::ToSchema;

use super::{Approver, Page};
use crate::{
    api::{
        Api, Json,
        extract::{Query, cursor, limit},
        problem::Problem,
    },
    control::audit::{Entry, Filter},
};

/// Who did what to what.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct EntryView<'a> {
    #[schema(value_type = String, example = "aud_01h455vb4pex5vsknk084sn02q")]
    id: AuditId,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// A person's name, a key's id, `bootstrap`, `command` or `system`.
    actor: &'a str,
    #[schema(example = "app.suspended")]
    action: &'a str,
    object: &'a str,
    #[schema(value_type = Option<Object>, required = true)]
    before: Option<&'a Value>,
    #[schema(value_type = Option<Object>, required = true)]
    after: Option<&'a Value>,
    #[schema(required = true)]
    reason: Option<&'a str>,
    #[schema(required = true)]
    address: Option<&'a str>,
    #[schema(required = true)]
    request_id: Option<&'a str>,
}

impl<'a> EntryView<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor.as_str(),
            action: &entry.action,
            object: &entry.object,
            before: entry.before.as_ref(),
            after: entry.after.as_ref(),
            reason: entry.reason.as_deref(),
            address: entry.address.as_deref(),
            request_id: entry.request_id.as_deref(),
        }
    }
}

/// Search the audit log
///
/// Newest first. `from` is inclusive, `until` exclusive.
#[utoipa::path(
    get, path = "/v1/admin/audit", tag = "Control plane", operation_id = "list_audit",
    params(("actor" = Option<String>, Query), ("action" = Option<String>, Query), ("object" = Option<String>, Query),
           ("from" = Option<String>, Query, format = DateTime), ("until" = Option<String>, Query, format = DateTime),
           ("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of the log", body = Page<EntryView>)), security(("bearer" = ["approver"])),
)]
pub(super) async fn list_audit(_: Approver, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let filter = Filter {
        actor: query.text("actor"),
        action: query.text("action"),
        object: query.text("object"),
        from: query.parsed("from"),
        until: query.parsed("until"),
    };
    let (limit, before) = (limit(&mut query), cursor::<i64>(&mut query));
    query.finish()?;
    // One more than asked for says whether there is another page.
    let mut rows = api.control.audit_log(&filter, before, limit as u32 + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|(number, _)| number.to_string());
    Ok(Json::of(&Page { data: rows.iter().map(|(_, entry)| EntryView::of(entry)).collect(), next_cursor }))
}
