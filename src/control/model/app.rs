//! A team's application: what it may send, how much, and where to.

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::AppId,
    message::{Category, Channel},
    time::Timestamp,
};

use super::{ActorId, Kind, Record};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub id: AppId,
    /// Unique in the installation.
    pub name: String,
    /// Production access: without it only its test keys send.
    #[serde(default)]
    pub live: bool,
    /// Whether it may send texts of its own beside approved templates.
    #[serde(default)]
    pub free_text: bool,
    /// Nothing is accepted from it, and what waits does not leave.
    #[serde(default)]
    pub suspended: bool,
    /// Empty: all.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Calling codes without the plus; empty: all.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Accepted messages a second, 0: no limit of its own.
    #[serde(default)]
    pub max_per_s: u32,
    /// Accepted messages a day (UTC), 0: no limit.
    #[serde(default)]
    pub daily_quota: u64,
    /// Accepted messages a month (UTC), 0: no limit.
    #[serde(default)]
    pub monthly_quota: u64,
    /// How often one recipient may hear from it; at most one cap a category and window.
    #[serde(default)]
    pub recipient_caps: Vec<RecipientCap>,
    /// The domains that links in its templates may lead to; links to others are refused.
    #[serde(default)]
    pub link_domains: Vec<String>,
    pub created_at: Timestamp,
    pub created_by: ActorId,
}

/// At most `max` messages of a category to one recipient within a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientCap {
    pub category: Category,
    pub max: u32,
    pub window_s: u32,
}

impl App {
    pub fn new(id: AppId, name: &str, at: Timestamp, by: ActorId) -> Self {
        Self {
            id,
            name: name.to_owned(),
            live: false,
            free_text: false,
            suspended: false,
            channels: Vec::new(),
            countries: Vec::new(),
            max_per_s: 0,
            daily_quota: 0,
            monthly_quota: 0,
            recipient_caps: Vec::new(),
            link_domains: Vec::new(),
            created_at: at,
            created_by: by,
        }
    }

    pub fn allows_channel(&self, channel: Channel) -> bool {
        self.channels.is_empty() || self.channels.contains(&channel)
    }

    /// Whether it may send to this number; addresses without a country are always allowed.
    pub fn allows_country(&self, channel: Channel, to: &str) -> bool {
        !channel.is_phone()
            || self.countries.is_empty()
            || to.strip_prefix('+').is_some_and(|digits| self.countries.iter().any(|code| digits.starts_with(code.as_str())))
    }

    /// 1 to 64 characters, and not what looks like an id: either finds an app.
    pub fn is_name(text: &str) -> bool {
        (1..=64).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control) && !text.starts_with("app_")
    }

    /// `+86` and `86` are the same calling code; anything else is none.
    pub fn calling_code(text: &str) -> Option<String> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let shape = (1..=7).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        shape.then(|| digits.to_owned())
    }
}

impl Record for App {
    const KIND: Kind = Kind::App;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_calling_codes_and_bind_numbers_only() {
        let mut app = App::new(AppId::new(Timestamp::default(), [0; 10]), "shop", Timestamp::default(), ActorId::system());
        assert!(app.allows_country(Channel::Sms, "+8613800138000"));
        app.countries = vec!["86".into()];
        assert!(app.allows_country(Channel::Sms, "+8613800138000"));
        assert!(!app.allows_country(Channel::Voice, "+15005550001"));
        assert!(app.allows_country(Channel::Email, "ada@example.org"));
        assert_eq!(
            (App::calling_code("+86"), App::calling_code("86"), App::calling_code("CN")),
            (Some("86".into()), Some("86".into()), None)
        );
    }
}
