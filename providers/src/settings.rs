//! Reads a provider's settings and collects everything that is wrong with them.
//!
//! A newcomer who mistypes three names should read three sentences, not start three times. So nothing here returns early:
//! a missing or wrong value becomes an error in the list and a default in the struct, and [`Reader::finish`] gives the
//! struct only if the list is empty. Problems never repeat the value: it may be a secret.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    Settings,
    registry::{Kind, SettingError},
};

/// A name is offered as "did you mean" if at most one in this many of its characters is wrong.
const NEAR: usize = 3;
/// An hour: no latency or delay that a provider is configured with is longer.
const MAX_MS: u64 = 3_600_000;

pub struct Reader<'a> {
    settings: &'a Settings,
    prefix: String,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    pub fn new(settings: &'a Settings, kind: &Kind) -> Self {
        Self::over(settings, "settings", kind.settings)
    }

    pub fn over(settings: &'a Settings, prefix: &str, known: &[&'static str]) -> Self {
        let errors = settings
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| SettingError::new(format!("{prefix}.{name}"), unknown("setting", name, known.iter().copied())))
            .collect();
        Self { settings, prefix: prefix.to_owned(), errors }
    }

    pub fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        self.errors.push(SettingError::new(format!("{}.{name}", self.prefix), problem));
    }

    /// Takes over what a nested table's reader found.
    pub fn absorb(&mut self, errors: Vec<SettingError>) {
        self.errors.extend(errors);
    }

    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.settings.get(name).filter(|value| !value.is_null())
    }

    pub fn string(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(name, "must be a string");
                None
            }
        }
    }

    pub fn required(&mut self, name: &str) -> String {
        let found = self.string(name);
        if found.is_none() && !self.errors.iter().any(|error| error.path == format!("{}.{name}", self.prefix)) {
            self.wrong(name, "is required");
        }
        found.unwrap_or_default()
    }

    /// One of the words that a setting allows; the first is the default.
    pub fn one_of(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let default = words.first().copied().unwrap_or_default();
        let Some(text) = self.string(name) else { return default };
        match words.iter().find(|word| **word == text) {
            Some(word) => word,
            None => {
                self.wrong(name, format!("must be one of {}", words.join(", ")));
                default
            }
        }
    }

    /// A count from 0 to `most`.
    pub fn count(&mut self, name: &str, default: u64, most: u64) -> u64 {
        let Some(value) = self.value(name) else { return default };
        match value.as_u64() {
            Some(count) if count <= most => count,
            _ => {
                self.wrong(name, format!("must be a whole number from 0 to {most}"));
                default
            }
        }
    }

    pub fn millis(&mut self, name: &str, default: Duration) -> Duration {
        Duration::from_millis(self.count(name, u64::try_from(default.as_millis()).unwrap_or(MAX_MS), MAX_MS))
    }

    /// A share from 0 to 1.
    pub fn share(&mut self, name: &str, default: f64) -> f64 {
        let Some(value) = self.value(name) else { return default };
        match value.as_f64() {
            Some(share) if (0.0..=1.0).contains(&share) => share,
            _ => {
                self.wrong(name, "must be a share from 0 to 1");
                default
            }
        }
    }

    /// A table whose values are all strings.
    pub fn strings(&mut self, name: &str) -> BTreeMap<String, String> {
        let Some(value) = self.value(name) else { return BTreeMap::new() };
        let Value::Object(table) = value else {
            self.wrong(name, "must be a table");
            return BTreeMap::new();
        };
        let mut strings = BTreeMap::new();
        for (key, value) in table {
            match value {
                Value::String(text) => drop(strings.insert(key.clone(), text.clone())),
                _ => self.wrong(&format!("{name}.{key}"), "must be a string"),
            }
        }
        strings
    }

    /// A table whose values are words of a vocabulary of ours.
    pub fn words<T: Copy>(&mut self, name: &str, all: &[T], word: impl Fn(T) -> &'static str) -> BTreeMap<String, T> {
        let mut meanings = BTreeMap::new();
        for (key, text) in self.strings(name) {
            match all.iter().find(|meaning| word(**meaning) == text) {
                Some(meaning) => drop(meanings.insert(key, *meaning)),
                None => self.wrong(&format!("{name}.{key}"), unknown("word", &text, all.iter().map(|meaning| word(*meaning)))),
            }
        }
        meanings
    }

    pub fn table(&mut self, name: &str) -> Option<&'a Settings> {
        match self.value(name)? {
            Value::Object(table) => Some(table),
            _ => {
                self.wrong(name, "must be a table");
                None
            }
        }
    }

    pub fn url(&mut self, name: &str) -> Option<reqwest::Url> {
        let text = self.string(name)?;
        match reqwest::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.wrong(name, "must be an address that begins with http:// or https://");
                None
            }
        }
    }

    pub fn errors(self) -> Vec<SettingError> {
        self.errors
    }

    pub fn finish<T>(self, built: T) -> Result<T, Vec<SettingError>> {
        if self.errors.is_empty() { Ok(built) } else { Err(self.errors) }
    }
}

/// `unknown setting, did you mean url?`
pub fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    let nearest = known.clone().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance * NEAR <= nearest.len() => format!("unknown {what}, did you mean {nearest}?"),
        _ => format!("unknown {what}; known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
