//! Query parameters: each known one asked for by name, all errors at once, an unknown one is an error.

use std::{convert::Infallible, fmt::Display, str::FromStr};

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{
    api::problem::{FieldError, Problem},
    config::nearest,
};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// A query has no more parameters than this that mean anything.
const MAX_PARAMETERS: usize = 100;

/// Marks a request whose address has a query where the operation takes no parameters.
#[derive(Clone, Copy)]
pub struct TakesNone;

/// Refuses what stands in the query of an operation without parameters.
pub fn no_parameters(parts: &Parts) -> Result<(), Problem> {
    match parts.extensions.get::<TakesNone>() {
        Some(TakesNone) => Query::of_uri(&parts.uri).finish(),
        None => Ok(()),
    }
}

/// The parameters of a request. Ask for each known one, then [`Query::finish`].
pub struct Query {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

/// For operations that nobody has to authenticate for: those refuse a query by themselves.
pub struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        no_parameters(parts).map(|()| Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_uri(&parts.uri))
    }
}

impl Query {
    fn of_uri(uri: &http::Uri) -> Self {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0);
        Self::of(pairs.unwrap_or_default())
    }

    pub fn of(mut given: Vec<(String, String)>) -> Self {
        given.truncate(MAX_PARAMETERS);
        Self { given, known: Vec::new(), errors: Vec::new() }
    }

    /// The parameter as text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut found = None;
        let mut at = 0;
        while at < self.given.len() {
            if self.given[at].0 != name {
                at += 1;
            } else if found.replace(self.given.remove(at).1).is_some() {
                self.error(name, "duplicate", "is given twice");
            }
        }
        if found.as_ref().is_some_and(|text| text.contains('\0')) {
            self.error(name, "format", "must be text without U+0000");
            return None;
        }
        found
    }

    /// The parameter as what its text means.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(name, "format", error.to_string());
                None
            }
        }
    }

    pub fn number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.text(name)?.parse().ok();
        if number.is_none() {
            self.error(name, "format", "must be a whole number");
        }
        number
    }

    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.text(name)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.error(name, "format", "must be true or false");
                None
            }
        }
    }

    pub fn error(&mut self, name: &'static str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError::parameter(name, code, detail));
    }

    /// Nothing may be left over.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in &self.given {
            let near = nearest(name, self.known.iter().copied());
            let detail = near.map_or_else(|| "is not a parameter".to_owned(), |near| format!("is not a parameter; the nearest is {near}"));
            self.errors.push(FieldError::parameter(name.chars().take(100).collect::<String>(), "unknown", detail));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// `limit` of a listing: 1 to 200, 50 if absent.
pub fn limit(query: &mut Query) -> usize {
    let Some(text) = query.text("limit") else { return DEFAULT_LIMIT };
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
        _ => {
            query.error("limit", "range", format!("must be between 1 and {MAX_LIMIT}"));
            DEFAULT_LIMIT
        }
    }
}

/// `cursor` of a listing: where the page before it ended.
pub fn cursor<T: FromStr>(query: &mut Query) -> Option<T> {
    let cursor = query.text("cursor")?.parse();
    if cursor.is_err() {
        query.error("cursor", "format", "must be a next_cursor of this listing");
    }
    cursor.ok()
}
