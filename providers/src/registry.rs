//! The kinds of provider there are, and how one is built from its settings.
//!
//! A kind is one folder, one line in [`KINDS`] and one arm in [`build`]. Settings arrive as JSON whatever file they were
//! written in; everything wrong with them is told at once, and an unknown name is answered with the nearest known one. The
//! kind says which settings are secrets, so that the control plane seals and hides them without knowing any vendor.

use std::sync::Arc;

use tidings_core::{message::Channel, time::Timestamp};

use crate::{Http, Provider, ReceiptSink, generic_http, settings, simulated};

/// Settings as any file or document carries them.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// One thing that is wrong with a provider's settings. The value is never repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SettingError {
    /// Below the provider: `kind`, `channel`, `settings.url`, `settings.receipt.map.DELIVRD`.
    pub path: String,
    pub problem: String,
}

impl SettingError {
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

type Build = fn(&str, &Settings, &Context) -> Result<Arc<dyn Provider>, Vec<SettingError>>;

/// What a kind of provider is, for validation and for pages.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The channels it can carry.
    pub channels: &'static [Channel],
    /// Every setting it knows.
    pub settings: &'static [&'static str],
    /// Those that are sealed at rest and never shown.
    pub secrets: &'static [&'static str],
    /// Whether it reaches nobody: the only kind that test keys reach.
    pub simulated: bool,
    pub(crate) build: Build,
}

/// Every kind.
pub const KINDS: &[Kind] = &[simulated::KIND, generic_http::KIND];

pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The settings of a kind that are secrets; empty for an unknown kind.
pub fn secret_settings(name: &str) -> &'static [&'static str] {
    kind(name).map_or(&[], |kind| kind.secrets)
}

/// What a provider is given of the world. Time and randomness come from outside, as everywhere.
#[derive(Clone)]
pub struct Context {
    pub http: Http,
    /// Where receipts go that come without a call to us.
    pub receipts: Arc<dyn ReceiptSink>,
    pub now: fn() -> Timestamp,
    /// Seeds a provider's own generator.
    pub random: fn() -> u64,
}

/// Builds the provider `name`, or tells everything that is wrong with its settings.
pub fn build(
    kind_name: &str,
    name: &str,
    channel: Channel,
    settings: &Settings,
    context: &Context,
) -> Result<Arc<dyn Provider>, Vec<SettingError>> {
    let Some(kind) = kind(kind_name) else {
        return Err(vec![SettingError::new("kind", settings::unknown("kind", kind_name, KINDS.iter().map(|kind| kind.name)))]);
    };
    if !kind.channels.contains(&channel) {
        let channels: Vec<_> = kind.channels.iter().map(|channel| channel.as_str()).collect();
        return Err(vec![SettingError::new("channel", format!("kind {kind_name} carries only {}", channels.join(", ")))]);
    }
    (kind.build)(name, settings, context)
}
