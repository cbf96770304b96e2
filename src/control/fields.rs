//! Reading what people write (the bootstrap file, a routing revision, a change of an app) so that everything wrong with it
//! is told at once.
//!
//! Serde stops at the first fault; here every field is asked for by name, faults are collected with their place, and
//! what nobody asked for is an unknown field, answered with the nearest known name. Values are never repeated in a fault:
//! any of them may be a secret.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};
use tidings_core::{message::UnknownWord, money::Amount, time::Timestamp};

use crate::config::nearest;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer.
    pub pointer: String,
    /// Stable, for programs.
    pub code: &'static str,
    pub detail: String,
}

impl Fault {
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// `apps[0].keys[1].secret`: the pointer as somebody who edits a file reads it.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for part in self.pointer.split('/').skip(1) {
            if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
                path.push_str(&format!("[{part}]"));
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&part.replace("~1", "/").replace("~0", "~"));
            }
        }
        path
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.path(), self.detail) }
    }
}

/// The fields of one object. Ask for each known one, then [`Fields::finish`].
pub struct Fields<'a> {
    pointer: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    pub fn new(pointer: impl Into<String>, map: &'a Map<String, Value>, faults: &'a mut Vec<Fault>) -> Self {
        Self { pointer: pointer.into(), map, known: Vec::new(), faults }
    }

    pub fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }

    pub fn fault(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let pointer = self.at(name);
        self.faults.push(Fault::new(pointer, code, detail));
    }

    /// The value under a name; null counts as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    fn typed<T>(&mut self, name: &'static str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let read = read(value);
        if read.is_none() {
            self.fault(name, "type", format!("must be {expected}"));
        }
        read
    }

    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.typed(name, "a text", Value::as_str)
    }

    /// A text that must be there and satisfy `rule`, which is said as `expected`.
    pub fn name(&mut self, name: &'static str, rule: impl Fn(&str) -> bool, expected: &str) -> Option<&'a str> {
        let text = self.required(name, Self::text)?;
        if rule(text) {
            return Some(text);
        }
        self.fault(name, "format", format!("must be {expected}"));
        None
    }

    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self, &'static str) -> Option<T>) -> Option<T> {
        if self.map.get(name).is_none_or(Value::is_null) {
            self.known.push(name);
            self.fault(name, "required", "is required");
            return None;
        }
        read(self, name)
    }

    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub fn number(&mut self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = self.typed(name, "a whole number", Value::as_u64)?;
        if range.contains(&number) {
            return Some(number);
        }
        self.fault(name, "range", format!("must be from {} to {}", range.start(), range.end()));
        None
    }

    pub fn decimal(&mut self, name: &'static str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let number = self.typed(name, "a number", Value::as_f64)?;
        if range.contains(&number) {
            return Some(number);
        }
        self.fault(name, "range", format!("must be from {} to {}", range.start(), range.end()));
        None
    }

    /// One of the words of an enum.
    pub fn word<T: FromStr<Err = UnknownWord>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(word) => Some(word),
            Err(unknown) => {
                self.fault(name, "format", with_nearest(unknown.to_string(), text, unknown.known.iter().copied()));
                None
            }
        }
    }

    pub fn amount(&mut self, name: &'static str) -> Option<Amount> {
        let value = self.value(name)?;
        match serde_json::from_value(value.clone()) {
            Ok(amount) => Some(amount),
            Err(_) => {
                self.fault(name, "format", "must be a price: a decimal from 0 to 1000000 with at most six decimals");
                None
            }
        }
    }

    pub fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let time = text.parse().ok();
        if time.is_none() {
            self.fault(name, "format", "must be an RFC 3339 time such as 2026-01-01T00:00:00.000Z");
        }
        time
    }

    pub fn object(&mut self, name: &'static str) -> Option<&'a Map<String, Value>> {
        self.typed(name, "an object", Value::as_object)
    }

    /// A list with the pointer of each element; absent is empty.
    pub fn list(&mut self, name: &'static str) -> Vec<(String, &'a Value)> {
        let at = self.at(name);
        let list = self.typed(name, "a list", Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect()
    }

    /// A list of objects.
    pub fn objects(&mut self, name: &'static str) -> Vec<(String, &'a Map<String, Value>)> {
        let mut objects = Vec::new();
        for (pointer, value) in self.list(name) {
            match value.as_object() {
                Some(object) => objects.push((pointer, object)),
                None => self.faults.push(Fault::new(pointer, "type", "must be an object")),
            }
        }
        objects
    }

    pub fn texts(&mut self, name: &'static str) -> Vec<&'a str> {
        let mut texts = Vec::new();
        for (pointer, value) in self.list(name) {
            match value.as_str() {
                Some(text) => texts.push(text),
                None => self.faults.push(Fault::new(pointer, "type", "must be a text")),
            }
        }
        texts
    }

    /// A list of words, each known.
    pub fn words<T: FromStr<Err = UnknownWord>>(&mut self, name: &'static str) -> Vec<T> {
        let mut words = Vec::new();
        for (pointer, value) in self.list(name) {
            match value.as_str().map(|text| (text, text.parse::<T>())) {
                Some((_, Ok(word))) => words.push(word),
                Some((text, Err(unknown))) => {
                    let detail = with_nearest(unknown.to_string(), text, unknown.known.iter().copied());
                    self.faults.push(Fault::new(pointer, "format", detail));
                }
                None => self.faults.push(Fault::new(pointer, "type", "must be a text")),
            }
        }
        words
    }

    /// The fields inside one of this object's own, read into the same faults.
    pub fn inner<'b>(&'b mut self, pointer: String, map: &'b Map<String, Value>) -> Fields<'b> {
        Fields::new(pointer, map, self.faults)
    }

    /// Adds what somebody else found.
    pub fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// Whatever nobody asked for is unknown.
    pub fn finish(self) {
        for name in self.map.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let detail = with_nearest("is not known here".to_owned(), name, self.known.iter().copied());
            self.faults.push(Fault::new(format!("{}/{}", self.pointer, escape(name)), "unknown", detail));
        }
    }
}

/// A sentence with the nearest known name behind it, if one is near.
pub fn with_nearest<'n>(sentence: String, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("{sentence}; did you mean {near}?"),
        None => sentence,
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
