//! Reads settings by name from what file, environment and flags gave, and collects everything that is wrong with them.
//!
//! A deserialiser stops at its first error and cannot say which name was meant. Here every section asks for its settings
//! one by one: what is malformed is noted and the default taken, and what nobody asked for at the end is unknown. So one
//! run of `tidings check` shows the whole list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use tidings_core::redact::Secret;
use toml::Value;

use super::setting::Setting;

/// Names that resemble each other less than this are not worth suggesting.
const LEAST_RESEMBLANCE: f64 = 0.6;

/// Where a setting was given, for error texts. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// One thing that is wrong with the configuration. Never holds the value: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {text}")]
pub struct Fault {
    pub origin: Origin,
    pub text: String,
}

/// What was given and not yet asked for.
pub(super) struct Reader {
    given: BTreeMap<String, (Value, Origin)>,
    sections: BTreeMap<String, Origin>,
    known: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self { given: BTreeMap::new(), sections: BTreeMap::new(), known: BTreeSet::new(), faults: Vec::new() }
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        let origin = Origin::File(path.to_owned());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.fault(origin, format!("cannot be read: {error}")),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => self.add_table("", table, &origin),
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
                self.fault(origin, format!("line {line} is not TOML: {}", error.message()));
            }
        }
    }

    fn add_table(&mut self, prefix: &str, table: toml::Table, origin: &Origin) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            if let Value::Table(inner) = value {
                self.sections.insert(path.clone(), origin.clone());
                self.add_table(&path, inner, origin);
            } else {
                self.given.insert(path, (value, origin.clone()));
            }
        }
    }

    /// A setting as text, from a flag or the environment: it is read as whatever type the setting has.
    pub(super) fn add_text(&mut self, path: String, value: String, origin: Origin) {
        self.given.insert(path, (Value::String(value), origin));
    }

    pub(super) fn fault(&mut self, origin: Origin, text: String) {
        self.faults.push(Fault { origin, text });
    }

    fn take(&mut self, path: &str) -> Option<(Value, Origin)> {
        self.known.insert(path.to_owned());
        self.given.remove(path)
    }

    /// The setting, or its default where it is not given or wrong.
    pub(super) fn get<T: Setting>(&mut self, path: &str, default: T) -> T {
        let Some((value, origin)) = self.take(path) else { return default };
        let read = match (&value, &origin) {
            (Value::String(text), Origin::Environment(_) | Origin::Flag) => T::from_text(text),
            _ => T::from_value(&value),
        };
        read.unwrap_or_else(|| {
            self.fault(origin, format!("{path} must be {}", T::EXPECTED));
            default
        })
    }

    /// 0 means without end; any other value lies within the range.
    pub(super) fn zero_or_within(&mut self, path: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let origin = self.given.get(path).map(|(_, origin)| origin.clone());
        let value = self.get(path, default);
        if value == 0 || range.contains(&value) {
            return value;
        }
        let text = format!("{path} must be 0 (for ever), or between {} and {}", range.start(), range.end());
        self.fault(origin.unwrap_or(Origin::Flag), text);
        default
    }

    pub(super) fn within<T: Setting + PartialOrd + fmt::Display + Copy>(&mut self, path: &str, default: T, range: RangeInclusive<T>) -> T {
        let origin = self.given.get(path).map(|(_, origin)| origin.clone());
        let value = self.get(path, default);
        if range.contains(&value) {
            return value;
        }
        let text = format!("{path} must be between {} and {}", range.start(), range.end());
        self.fault(origin.unwrap_or(Origin::Flag), text);
        default
    }

    pub(super) fn seconds(&mut self, path: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.within(path, default, range))
    }

    pub(super) fn millis(&mut self, path: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(path, default, range))
    }

    /// A secret, given as itself or as the file that holds it (`<path>_file`); empty means none.
    pub(super) fn secret(&mut self, path: &str) -> Option<Secret> {
        let file_path = format!("{path}_file");
        let inline = self.take(path);
        let in_file = self.take(&file_path).filter(|(value, _)| value.as_str() != Some(""));
        let (value, origin) = match (inline.filter(|(value, _)| value.as_str() != Some("")), in_file) {
            (Some(_), Some((_, origin))) => {
                self.fault(origin, format!("{path} and {file_path} are both given: give one"));
                return None;
            }
            (Some(inline), None) => inline,
            (None, Some((file, origin))) => return self.secret_in_file(&file_path, &file, origin),
            (None, None) => return None,
        };
        let Value::String(text) = value else {
            self.fault(origin, format!("{path} must be text"));
            return None;
        };
        Some(Secret::new(text))
    }

    /// A secret that is an address of one of these schemes.
    pub(super) fn secret_address(&mut self, path: &str, schemes: &[&str]) -> Option<Secret> {
        let given = |reader: &Self, path: &str| reader.given.get(path).map(|(_, origin)| origin.clone());
        let origin = given(self, path).or_else(|| given(self, &format!("{path}_file")));
        let secret = self.secret(path)?;
        let scheme = secret.expose().split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
            return Some(secret);
        }
        self.fault(origin.unwrap_or(Origin::Flag), format!("{path} must be an address that begins with {}://", schemes[0]));
        None
    }

    fn secret_in_file(&mut self, path: &str, file: &Value, origin: Origin) -> Option<Secret> {
        let Some(file) = file.as_str() else {
            self.fault(origin, format!("{path} must be the path of a file"));
            return None;
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => {
                self.fault(origin, format!("{path}: {file} cannot be read: {error}"));
                None
            }
        }
    }

    /// What nobody asked for is unknown; all faults, in the order of where they were given.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for (path, (_, origin)) in std::mem::take(&mut self.given) {
            let text = self.unknown(&path);
            self.fault(origin, text);
        }
        for (section, origin) in std::mem::take(&mut self.sections) {
            let prefix = format!("{section}.");
            let named = |fault: &Fault| fault.origin == origin && fault.text.contains(&prefix);
            if !self.known.iter().any(|known| known.starts_with(&prefix)) && !self.faults.iter().any(named) {
                let text = self.unknown(&section);
                self.fault(origin, text);
            }
        }
        self.faults
    }

    fn unknown(&self, path: &str) -> String {
        if self.known.iter().any(|known| known.starts_with(&format!("{path}."))) {
            return format!("{path} is a section, not a setting");
        }
        match nearest(path, self.known.iter().map(String::as_str)) {
            Some(known) => format!("{path} is not a setting; the nearest is {known}"),
            None => format!("{path} is not a setting"),
        }
    }
}

/// The known name that resembles `name` most, if any does. A right last part in the wrong section counts as near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().map_or_else(String::new, str::to_owned);
    let resemblance = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(name, candidate);
        let tail = strsim::normalized_damerau_levenshtein(&last(name), &last(candidate));
        whole.max(0.5 * whole + 0.5 * tail)
    };
    known
        .into_iter()
        .map(|candidate| (resemblance(candidate), candidate))
        .filter(|(score, _)| *score >= LEAST_RESEMBLANCE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
