//! `GET /v1/messages`

use axum::extract::State;
use tidings_core::{
    id::AppId,
    message::{Category, Channel, Recipient, Status},
    time::Timestamp,
};

use super::{
    Api,
    answer::Json,
    extract::{Caller, Query, cursor, limit},
    problem::Problem,
    schema::{self, MessagePage},
    view::ListedView,
};
use crate::{control::model::Scope, store::Filter};

/// List messages
///
/// The app's own, newest first. `from` is inclusive, `until` exclusive, both by `accepted_at`. Cursors stay valid while
/// messages are added.
#[utoipa::path(
    get, path = "/v1/messages", tag = "Messages", operation_id = "list_messages",
    params(
        ("to" = Option<String>, Query, description = "The recipient, as it was sent to"),
        ("status" = Option<schema::MessageStatus>, Query), ("channel" = Option<schema::Channel>, Query),
        ("category" = Option<schema::Category>, Query), ("reference" = Option<String>, Query),
        ("template" = Option<String>, Query, description = "`name` or `name@version`"),
        ("provider" = Option<String>, Query, description = "Of the last attempt"), ("test" = Option<bool>, Query),
        ("from" = Option<String>, Query, format = DateTime), ("until" = Option<String>, Query, format = DateTime),
        ("limit" = Option<u32>, Query, description = "Default 50", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", pattern = "^msg_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
    ),
    responses((status = 200, description = "A page of messages", body = MessagePage)),
    security(("bearer" = ["messages:read"])),
)]
pub(super) async fn list_messages(caller: Caller, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let reader = caller.with(Scope::MessagesRead)?;
    let filter = filter(&mut query, Some(reader.app.id));
    let (limit, before) = (limit(&mut query), cursor(&mut query));
    query.finish()?;
    let page = api.messages.list(&filter, before, limit).await?;
    Ok(Json::of(&MessagePage { data: page.rows.iter().map(ListedView::of).collect(), next_cursor: page.next.map(|next| next.to_string()) }))
}

/// The filters that this listing and that of the control plane have in common.
pub fn filter(query: &mut Query, app: Option<AppId>) -> Filter {
    Filter {
        app,
        to: query.text("to").map(|to| Recipient::new(unspaced(to))),
        status: query.parsed::<Status>("status"),
        channel: query.parsed::<Channel>("channel"),
        category: query.parsed::<Category>("category"),
        reference: query.text("reference"),
        template: template(query),
        provider: query.text("provider"),
        test: query.flag("test"),
        from: query.parsed::<Timestamp>("from"),
        until: query.parsed::<Timestamp>("until"),
    }
}

/// A plus in a query means a blank unless it is escaped, which many forget: no recipient begins with a blank.
fn unspaced(to: String) -> String {
    to.strip_prefix(' ').map_or_else(|| to.clone(), |rest| format!("+{rest}"))
}

fn template(query: &mut Query) -> Option<(String, Option<u32>)> {
    let text = query.text("template")?;
    let Some((name, version)) = text.split_once('@') else { return Some((text, None)) };
    match version.parse() {
        Ok(version) => Some((name.to_owned(), Some(version))),
        Err(_) => {
            query.error("template", "format", "must be name or name@version");
            None
        }
    }
}
