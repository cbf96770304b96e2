//! Reads a TOML table key by key and collects every error with its path, so that a file is corrected in one go.

use std::{fmt, time::Duration};

use toml::{Table, Value};

/// One thing that is wrong with a scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    pub path: String,
    pub detail: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.path, self.detail) }
    }
}

impl std::error::Error for ScenarioError {}

/// How far a key may be from a known one to be taken for a slip: half of its letters.
const NEAR_ENOUGH: f64 = 0.5;

/// One table of the file.
pub struct Reader<'a> {
    table: &'a Table,
    path: String,
    known: Vec<&'static str>,
    pub errors: Vec<ScenarioError>,
}

impl<'a> Reader<'a> {
    pub const fn new(table: &'a Table, path: String) -> Self {
        Self { table, path, known: Vec::new(), errors: Vec::new() }
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub fn wrong(&mut self, key: &str, detail: impl Into<String>) {
        let path = self.at(key);
        self.errors.push(ScenarioError { path, detail: detail.into() });
    }

    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.table.get(key)
    }

    pub fn missing(&mut self, key: &str) {
        self.wrong(key, "is required");
    }

    /// A number for which `allowed` holds; `must` says what that is.
    pub fn number(&mut self, key: &'static str, must: &str, allowed: impl Fn(f64) -> bool) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "numbers of a scenario are small")]
        let number = match self.value(key)? {
            Value::Integer(whole) => *whole as f64,
            Value::Float(number) => *number,
            _ => {
                self.wrong(key, "must be a number");
                return None;
            }
        };
        if number.is_finite() && allowed(number) {
            return Some(number);
        }
        self.wrong(key, format!("must be {must}, not {number}"));
        None
    }

    pub fn share(&mut self, key: &'static str) -> Option<f64> {
        self.number(key, "a share from 0 to 1", |it| (0.0..=1.0).contains(&it))
    }

    pub fn whole(&mut self, key: &'static str, least: i64, most: i64) -> Option<i64> {
        match self.value(key)? {
            Value::Integer(whole) if (least..=most).contains(whole) => Some(*whole),
            Value::Integer(whole) => {
                self.wrong(key, format!("must be between {least} and {most}, not {whole}"));
                None
            }
            _ => {
                self.wrong(key, "must be a whole number");
                None
            }
        }
    }

    pub fn whole_u32(&mut self, key: &'static str, least: u32) -> Option<u32> {
        self.whole(key, i64::from(least), 1_000_000).and_then(|it| u32::try_from(it).ok())
    }

    pub fn seconds(&mut self, key: &'static str) -> Option<Duration> {
        self.number(key, "a time in seconds from 0 to ten million", |it| (0.0..=1e7).contains(&it)).map(Duration::from_secs_f64)
    }

    pub fn millis(&mut self, key: &'static str) -> Option<Duration> {
        self.number(key, "a time in milliseconds above 0 and at most a day", |it| it > 0.0 && it <= 86_400_000.0)
            .map(|it| Duration::from_secs_f64(it / 1_000.0))
    }

    pub fn text(&mut self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        if value.as_str().is_none() {
            self.wrong(key, "must be a text");
        }
        value.as_str()
    }

    /// A table under `key`, read by `read`; its errors are added to these.
    pub fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        match self.value(key)? {
            Value::Table(table) => self.inner(table, self.at(key), read),
            _ => {
                self.wrong(key, "must be a table");
                None
            }
        }
    }

    /// The tables of an array under `key`; none if it is absent.
    pub fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> Option<T>) -> Vec<Option<T>> {
        let rows = match self.value(key) {
            None => return Vec::new(),
            Some(Value::Array(rows)) => rows,
            Some(_) => {
                self.wrong(key, "must be an array of tables");
                return Vec::new();
            }
        };
        let mut read_all = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let path = format!("{}[{index}]", self.at(key));
            if let Value::Table(table) = row {
                read_all.push(self.inner(table, path, &mut read));
            } else {
                self.errors.push(ScenarioError { path, detail: "must be a table".to_owned() });
            }
        }
        read_all
    }

    fn inner<T>(&mut self, table: &'a Table, path: String, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut inner = Reader::new(table, path);
        let value = read(&mut inner);
        inner.refuse_unknown();
        self.errors.append(&mut inner.errors);
        value
    }

    /// Every key that nobody asked for is an error which names the nearest known one.
    pub fn refuse_unknown(&mut self) {
        let unknown: Vec<&String> = self.table.keys().filter(|key| !self.known.contains(&key.as_str())).collect();
        for key in unknown {
            let nearest = self
                .known
                .iter()
                .map(|known| (strsim::normalized_damerau_levenshtein(key, known), known))
                .filter(|(nearness, _)| *nearness >= NEAR_ENOUGH)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let detail = match nearest {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known are {}", self.known.join(", ")),
            };
            let path = self.at(key);
            self.errors.push(ScenarioError { path, detail });
        }
    }
}
