//! People, apps, approvals, routes: who may send what, and who said so.

use tidings_core::{
    message::{Category, Channel, Recipient},
    redact::{Secret, Text},
    time::Timestamp,
};

use super::provider::words;

words! {
    /// Each role includes those before it.
    Role { Viewer = "viewer", Operator = "operator", Approver = "approver", Admin = "admin", }
}

words! {
    RequestKind {
        App = "app",
        AppChange = "app_change",
        TemplateVersion = "template_version",
        Signature = "signature",
        RoutingRevision = "routing_revision",
    }
}

words! {
    RequestStatus { Pending = "pending", Approved = "approved", Rejected = "rejected", Withdrawn = "withdrawn", }
}

/// What a key may be allowed to do.
pub const SCOPES: [&str; 5] = ["messages:send", "messages:read", "verifications", "templates:write", "webhooks:write"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub role: Role,
}

#[derive(Clone, Debug)]
pub struct RequestRow {
    pub id: String,
    pub kind: RequestKind,
    pub status: RequestStatus,
    /// One line: what it is about.
    pub title: String,
    pub app: Option<String>,
    pub author: String,
    pub created_at: Timestamp,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug)]
pub struct RequestDetail {
    pub row: RequestRow,
    pub author_id: String,
    pub changes: Vec<ChangedField>,
    /// Oldest first.
    pub comments: Vec<Comment>,
}

/// What somebody said to a request before it was decided.
#[derive(Clone, Debug)]
pub struct Comment {
    pub at: Timestamp,
    pub by: String,
    pub text: String,
}

/// One field before and after; texts of several lines are compared line by line.
#[derive(Clone, Debug)]
pub struct ChangedField {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub name: String,
    pub live: bool,
    pub suspended: bool,
    pub free_text: bool,
    pub channels: Vec<String>,
    pub countries: Vec<String>,
    pub max_per_s: u32,
    pub daily_quota: u64,
    pub created_at: Timestamp,
    pub keys: usize,
}

#[derive(Clone, Debug)]
pub struct AppDetail {
    pub app: App,
    pub keys: Vec<Key>,
    pub sent_today: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    pub test: bool,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked: bool,
}

#[derive(Clone, Debug)]
pub struct NewApp {
    pub name: String,
    pub live: bool,
    pub free_text: bool,
}

#[derive(Clone, Debug, Default)]
pub struct AppChange {
    pub live: Option<bool>,
    pub free_text: Option<bool>,
    pub suspended: Option<bool>,
    pub max_per_s: Option<u32>,
    pub daily_quota: Option<u64>,
    pub channels: Option<Vec<String>>,
    pub countries: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<String>,
    pub test: bool,
    pub expires_at: Option<Timestamp>,
}

/// A new key, shown this once.
#[derive(Clone, Debug)]
pub struct ShownKey {
    pub id: String,
    pub secret: Secret,
}

#[derive(Clone, Debug)]
pub struct Template {
    pub app: String,
    pub name: String,
    pub channel: Channel,
    pub category: Category,
    pub locale: Option<String>,
    pub archived: bool,
    /// Newest first.
    pub versions: Vec<TemplateVersion>,
}

#[derive(Clone, Debug)]
pub struct TemplateVersion {
    pub version: u32,
    pub status: String,
    /// With its placeholders; holds nobody's data.
    pub text: String,
    pub params: Vec<String>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Signature {
    pub app: String,
    pub name: String,
    pub channel: Option<Channel>,
    pub status: String,
    pub reason: Option<String>,
}

#[derive(Clone, Debug)]
pub struct RevisionRow {
    pub number: u32,
    pub status: String,
    pub author: String,
    pub created_at: Timestamp,
    /// Share of the traffic that it routes, in per cent; 0 when it is not active.
    pub percent: u8,
}

#[derive(Clone, Debug)]
pub struct RevisionDetail {
    pub row: RevisionRow,
    pub author_id: String,
    /// Readable text without secrets.
    pub document: String,
    /// The same of the revision it is compared with, and that one's number.
    pub compared_with: Option<(u32, String)>,
}

#[derive(Clone, Debug)]
pub struct Suppression {
    pub id: String,
    /// Masked.
    pub to: String,
    /// `None`: for all apps.
    pub app: Option<String>,
    pub reason: String,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewSuppression {
    pub to: Recipient,
    pub app: Option<String>,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub disabled: bool,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: String,
    pub role: Role,
    pub password: Secret,
}

#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub role: Option<Role>,
    pub password: Option<Secret>,
    pub disabled: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub struct AuditSearch {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub object: Option<String>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct AuditLine {
    pub id: String,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub object: String,
    /// JSON, secrets left out.
    pub before: Option<Text>,
    pub after: Option<Text>,
    pub reason: Option<String>,
    pub address: Option<String>,
}
