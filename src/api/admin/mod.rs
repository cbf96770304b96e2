//! The control plane over HTTP: `/v1/admin/…`, for people with a session.
//!
//! A handler's first argument says who may call it ([`Viewer`], [`Operator`], [`Approver`], [`Admin`]), so a route without
//! a rule does not compile; the same role stands in its description, and a test holds the two together for every route.

mod apps;
mod audit;
mod keys;
mod messages;
mod page;
mod providers;
mod refusals;
mod requests;
mod routing;
mod staff;
mod suppressions;
mod templates;
mod users;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::staff::client as client_address;
pub use self::staff::{Admin, Approver, Operator, Origin, Viewer};
pub(super) use self::{
    page::{Listing, Page},
    requests::RequestView,
};
use super::Api;

/// Every address of the control plane but sessions and tokens.
pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(messages::list_all_messages))
        .routes(routes!(messages::get_any_message))
        .routes(routes!(messages::reveal_message))
        .routes(routes!(messages::cancel_any_message))
        .routes(routes!(apps::list_apps, apps::request_app))
        .routes(routes!(apps::get_app, apps::change_app))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::revoke_key))
        .routes(routes!(templates::list_all_templates))
        .routes(routes!(templates::list_all_signatures))
        .routes(routes!(requests::list_requests))
        .routes(routes!(requests::get_request))
        .routes(routes!(requests::approve_request))
        .routes(routes!(requests::reject_request))
        .routes(routes!(requests::withdraw_request))
        .routes(routes!(requests::comment_request))
        .routes(routes!(routing::list_revisions, routing::create_revision))
        .routes(routes!(routing::get_revision))
        .routes(routes!(routing::diff_revision))
        .routes(routes!(routing::submit_revision))
        .routes(routes!(routing::activate_revision))
        .routes(routes!(providers::list_providers))
        .routes(routes!(providers::get_provider))
        .routes(routes!(providers::list_provider_events))
        .routes(routes!(providers::pause_provider))
        .routes(routes!(providers::resume_provider))
        .routes(routes!(providers::pin_provider))
        .routes(routes!(providers::unpin_provider))
        .routes(routes!(providers::weigh_provider))
        .routes(routes!(suppressions::list_suppressions, suppressions::create_suppression))
        .routes(routes!(suppressions::delete_suppression))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::get_user, users::change_user))
        .routes(routes!(audit::list_audit))
}
