//! The bootstrap file: how a test, a container or a GitOps repository starts an instance that is ready to send.
//!
//! Read whole, with everything wrong told at once. Applied on every start to whatever it names that does not exist yet;
//! what people changed since is never touched, so applying it twice is applying it once. What it brings counts as approved
//! and stands in the audit log under the actor `bootstrap`.

mod apply;
mod demo;
mod read;

use std::fmt;

use tidings_core::redact::Secret;

pub use self::demo::{Demo, demo};
pub(super) use self::{
    apply::params,
    read::{is_key_name, read_settings},
};
use super::{
    fields::Fault,
    model::{App, KeyHash, Role, RoutingDocument, Scopes},
};

/// What a file (or the demo) brings, sound in itself.
#[derive(Debug, Default)]
pub struct Bootstrap {
    users: Vec<NewUser>,
    apps: Vec<NewApp>,
    /// Providers and routes with secrets in the clear; absent if the file has neither.
    routing: Option<RoutingDocument>,
}

impl Bootstrap {
    /// The providers that the file names.
    pub fn providers(&self) -> &[super::model::Provider] {
        self.routing.as_ref().map_or(&[], |routing| &routing.providers)
    }
}

#[derive(Debug)]
struct NewUser {
    name: String,
    role: Role,
    password: Secret,
}

/// `app` holds the settings; its id and times are given when it is made.
#[derive(Debug)]
struct NewApp {
    app: App,
    keys: Vec<NewKey>,
    templates: Vec<NewTemplate>,
    signatures: Vec<NewSignature>,
}

#[derive(Debug)]
struct NewKey {
    name: String,
    id: Option<tidings_core::id::KeyId>,
    hash: KeyHash,
    hint: String,
    test: bool,
    scopes: Scopes,
    expires_at: Option<tidings_core::time::Timestamp>,
}

/// Entries of one name are its versions, in the order of the file.
#[derive(Debug)]
struct NewTemplate {
    name: String,
    channel: tidings_core::message::Channel,
    category: tidings_core::message::Category,
    locale: Option<String>,
    text: String,
    subject: Option<String>,
}

#[derive(Debug)]
struct NewSignature {
    name: String,
    channel: Option<tidings_core::message::Channel>,
}

/// Everything that is wrong with a bootstrap file, one fault a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What applying brought into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub users: usize,
    pub apps: usize,
    pub keys: usize,
    pub templates: usize,
    pub signatures: usize,
    pub revisions: usize,
}
