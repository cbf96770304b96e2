//! The sections about people and their data: how long sessions live, who vouches for people, how long messages are kept.

use std::time::Duration;

use tidings_core::redact::Secret;

use super::{reader::Reader, sections::MaybeUrl, setting::Setting};
use crate::control::model::Role;

const DAY_S: u64 = 24 * 3_600;

/// `[auth]`: how long what was issued lives, and how long last known rights are believed.
#[derive(Clone, Debug)]
pub struct Auth {
    pub access_token: Duration,
    pub refresh_token: Duration,
    /// A node that reaches neither Redis nor the store keeps last known rights for so long.
    pub max_stale: Duration,
}

impl Auth {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            access_token: from.seconds("auth.access_token_s", 900, 10..=DAY_S),
            refresh_token: from.seconds("auth.refresh_token_s", 30 * DAY_S, 60..=365 * DAY_S),
            max_stale: from.seconds("auth.max_stale_s", 900, 5..=DAY_S),
        }
    }
}

/// `[oidc]`: single sign-on of people by OpenID Connect; without an issuer, off.
#[derive(Clone, Debug)]
pub struct Oidc {
    pub issuer: Option<String>,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// What the button of the log-in page says.
    pub label: String,
    pub scopes: String,
    /// The claim whose values give roles.
    pub roles_claim: String,
    pub admins: Vec<String>,
    pub approvers: Vec<String>,
    pub operators: Vec<String>,
    pub viewers: Vec<String>,
    /// The role of whoever has none of these values; `None`: they do not get in.
    pub default_role: Option<Role>,
}

impl Oidc {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            issuer: from.get("oidc.issuer", MaybeUrl(None)).0,
            client_id: from.get("oidc.client_id", "tidings".to_owned()),
            client_secret: from.secret("oidc.client_secret"),
            label: from.get("oidc.label", "Log in with single sign-on".to_owned()),
            scopes: from.get("oidc.scopes", "openid profile email".to_owned()),
            roles_claim: from.get("oidc.roles_claim", "groups".to_owned()),
            admins: from.get("oidc.admins", Vec::new()),
            approvers: from.get("oidc.approvers", Vec::new()),
            operators: from.get("oidc.operators", Vec::new()),
            viewers: from.get("oidc.viewers", Vec::new()),
            default_role: from.get("oidc.default_role", None),
        }
    }
}

impl Setting for Option<Role> {
    const EXPECTED: &'static str = "viewer, operator, approver or admin, or empty";
    fn from_value(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "" => Some(None),
            word => word.parse().ok().map(Some),
        }
    }
}

/// `[retention]`: how long closed messages are kept, by category; `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub otp: Option<Duration>,
    pub transactional: Option<Duration>,
    pub marketing: Option<Duration>,
}

/// A receipt may still resolve a message for 72 h after it was closed, and an idempotency key is remembered for 24 h.
const MIN_RETENTION_DAYS: u64 = 4;
const MAX_RETENTION_DAYS: u64 = 3_650;

impl Retention {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            otp: days(from, "retention.otp_days", 30),
            transactional: days(from, "retention.transactional_days", 90),
            marketing: days(from, "retention.marketing_days", 90),
        }
    }
}

fn days(from: &mut Reader, path: &str, default: u64) -> Option<Duration> {
    let days = from.zero_or_within(path, default, MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS);
    (days > 0).then(|| Duration::from_secs(days * DAY_S))
}
