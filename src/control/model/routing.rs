//! Routing revisions: providers and routes as one immutable numbered document, and which of them are in force.
//!
//! A revision's secrets are sealed one by one ([`SettingValue::Sealed`]), so a document can be shown, compared and kept
//! without opening anything. At most two revisions are in force at once: one for everybody, and one for the recipients
//! below a percentage, by a hash that every node computes alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidings_core::{
    message::{Category, Channel},
    money::Amount,
    time::Timestamp,
};
use uuid::Uuid;

use super::{ActorId, Kind, Record, VersionStatus};

const DEFAULT_WEIGHT: u32 = 100;
const DEFAULT_MAX_IN_FLIGHT: u32 = 256;
const DEFAULT_TIMEOUT_MS: u64 = 3_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutingRevision {
    pub id: Uuid,
    /// Counts from 1.
    pub number: u32,
    pub status: VersionStatus,
    pub author: ActorId,
    pub created_at: Timestamp,
    pub document: RoutingDocument,
}

impl Record for RoutingRevision {
    const KIND: Kind = Kind::RoutingRevision;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        self.number.to_string()
    }
}

/// Which revisions are in force. One document of this name exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingState {
    pub id: Uuid,
    /// For everybody who is not below `percent`.
    pub base: u32,
    /// The revision that is being tried.
    #[serde(default)]
    pub trial: Option<u32>,
    /// 0 to 99: the share of recipients, by hash, that the trial applies to.
    #[serde(default)]
    pub percent: u8,
}

impl RoutingState {
    /// How much of the traffic a revision has, in per cent.
    pub fn percent_of(&self, number: u32) -> u8 {
        let trial = if self.trial.is_some() { self.percent } else { 0 };
        if self.trial == Some(number) {
            trial
        } else if self.base == number {
            100 - trial
        } else {
            0
        }
    }

    /// In force for `percent` of the recipients from now on; 100 ends the trial with it.
    #[must_use]
    pub fn activate(self, number: u32, percent: u8) -> Self {
        if percent >= 100 {
            Self { base: number, trial: None, percent: 0, ..self }
        } else if number == self.base {
            // Less than everything of what everybody has: the rest stays with the trial, if there is one.
            match self.trial {
                Some(_) => Self { percent: 100 - percent, ..self },
                None => self,
            }
        } else {
            Self { trial: Some(number), percent, ..self }
        }
    }
}

impl Record for RoutingState {
    const KIND: Kind = Kind::RoutingState;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        "routing".to_owned()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingDocument {
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// First match wins; none at all: every provider of the channel.
    #[serde(default)]
    pub routes: Vec<Route>,
}

impl RoutingDocument {
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}

/// One account at a vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    pub kind: String,
    pub channel: Channel,
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// The contract, in segments a second; 0: none.
    #[serde(default)]
    pub max_per_s: u32,
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Per segment.
    #[serde(default)]
    pub price: Amount,
    #[serde(default = "default_currency")]
    pub currency: String,
    /// Whether it reports delivery.
    #[serde(default = "default_receipts")]
    pub receipts: bool,
    #[serde(default)]
    pub settings: BTreeMap<String, SettingValue>,
    /// Our template's name to the vendor's own.
    #[serde(default)]
    pub templates: BTreeMap<String, serde_json::Value>,
    /// Our signature's name to the vendor's.
    #[serde(default)]
    pub signatures: BTreeMap<String, String>,
    /// Health thresholds that differ from the defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, serde_json::Value>,
}

const fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}
const fn default_max_in_flight() -> u32 {
    DEFAULT_MAX_IN_FLIGHT
}
const fn default_timeout_ms() -> u64 {
    DEFAULT_TIMEOUT_MS
}
fn default_currency() -> String {
    "CNY".to_owned()
}
const fn default_receipts() -> bool {
    true
}

/// A setting of a provider: in the clear, or sealed with the master key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    Sealed { sealed: String },
    Plain(serde_json::Value),
}

/// Plain values may be a secret that has not been sealed yet: neither is shown.
impl std::fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sealed { .. } => "Sealed",
            Self::Plain(_) => "Plain",
        })
    }
}

/// Who takes which messages, and how one of them is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    #[serde(rename = "match", default)]
    pub matches: Match,
    #[serde(default = "default_select")]
    pub select: String,
    pub providers: Vec<String>,
}

fn default_select() -> String {
    "weighted".to_owned()
}

/// All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default)]
    pub channel: Option<Channel>,
    #[serde(default)]
    pub category: Option<Category>,
    /// Any of these begins the recipient's number.
    #[serde(default)]
    pub prefix: Vec<String>,
    /// Any of these apps, by name.
    #[serde(default)]
    pub app: Vec<String>,
}

impl Match {
    pub fn holds(&self, channel: Channel, category: Category, to: &str, app: &str) -> bool {
        self.channel.is_none_or(|wanted| wanted == channel)
            && self.category.is_none_or(|wanted| wanted == category)
            && (self.prefix.is_empty() || self.prefix.iter().any(|prefix| to.starts_with(prefix.as_str())))
            && (self.app.is_empty() || self.app.iter().any(|wanted| wanted == app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RoutingState {
        RoutingState { id: Uuid::nil(), base: 1, trial: None, percent: 0 }
    }

    #[test]
    fn a_trial_is_raised_ended_and_rolled_back() {
        let trial = state().activate(2, 10);
        assert_eq!((trial.percent_of(1), trial.percent_of(2), trial.percent_of(3)), (90, 10, 0));
        let raised = trial.clone().activate(2, 60);
        assert_eq!((raised.percent_of(1), raised.percent_of(2)), (40, 60));
        let done = raised.activate(2, 100);
        assert_eq!((done.percent_of(1), done.percent_of(2)), (0, 100));
        let back = done.activate(1, 100);
        assert_eq!((back.percent_of(1), back.percent_of(2)), (100, 0));
    }

    #[test]
    fn lowering_what_everybody_has_raises_the_trial() {
        let lowered = state().activate(2, 10).activate(1, 30);
        assert_eq!((lowered.percent_of(1), lowered.percent_of(2)), (30, 70));
    }

    #[test]
    fn a_route_matches_when_all_that_it_names_holds() {
        let rule: Match =
            serde_json::from_value(serde_json::json!({"channel": "sms", "category": "otp", "prefix": ["+86", "+852"], "app": ["shop"]}))
                .unwrap();
        assert!(rule.holds(Channel::Sms, Category::Otp, "+85212345678", "shop"));
        assert!(!rule.holds(Channel::Sms, Category::Otp, "+4915112345", "shop"));
        assert!(!rule.holds(Channel::Voice, Category::Otp, "+8613800138000", "shop"));
        assert!(!rule.holds(Channel::Sms, Category::Otp, "+8613800138000", "other"));
        assert!(Match::default().holds(Channel::Email, Category::Marketing, "x", "y"));
    }
}
