//! Texts with parameters: `Your code is {{ code }}.`
//!
//! The language is a small part of Jinja: `{{ name }}` and `{% if %}`, `{% elif %}`, `{% else %}`, `{% endif %}`. Loops,
//! assignments, calls and string arithmetic are refused when a template is made, so that nothing that a team writes can
//! grow: a rendered text is as long as its literals and parameters. The parameters are taken from the text and must be
//! given exactly: a missing one would send a hole, a superfluous one is a typing error.
//!
//! A text without conditions, which is nearly every one, is rendered piece by piece; the others by minijinja with strict
//! undefined values and fuel.

mod parse;

use std::{collections::BTreeMap, fmt::Write};

use minijinja::{
    Environment, UndefinedBehavior,
    value::{Serde, ValueKind},
};

/// More than any channel takes; a bound for whoever stores and shows templates.
pub const MAX_TEXT_CHARS: usize = 20_000;
/// More parameters than this nobody fills in by hand.
pub const MAX_PARAMS: usize = 50;
/// Longest parameter value, in characters.
pub const MAX_VALUE_CHARS: usize = 1_600;
/// Rendering stops here: a short parameter may be named as often as the text is long. Four times the longest text of any channel,
/// since a character has up to four bytes.
pub const MAX_RENDERED_BYTES: usize = 400_000;
/// Instructions that rendering may take: some tens for each condition that fits into a text.
const FUEL: u64 = 100_000;
const NAME: &str = "text";

/// Why a text is no template. Holds places and names from the template, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("must have 1 to {MAX_TEXT_CHARS} characters")]
    Length,
    #[error("line {line}: {reason}")]
    Syntax { line: usize, reason: String },
    #[error("has more than {MAX_PARAMS} parameters")]
    TooManyParams,
}

/// Why given parameters do not fit a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    Missing(String),
    Unknown(String),
}

/// Why a template with these parameters makes no text. Says nothing about values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRendered {
    /// A condition compared what cannot be compared, such as a text with a number.
    #[error("the parameters cannot be used as the template uses them")]
    Unfit,
    #[error("the text would have more than {MAX_RENDERED_BYTES} bytes")]
    TooLong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Param(String),
}

#[derive(Debug)]
enum Body {
    Pieces(Vec<Piece>),
    Conditional(Box<Environment<'static>>),
}

/// A template, ready to render.
#[derive(Debug)]
pub struct Template {
    /// In order of appearance.
    params: Vec<String>,
    body: Body,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        if text.trim().is_empty() || text.chars().count() > MAX_TEXT_CHARS {
            return Err(Unusable::Length);
        }
        let parsed = parse::parse(text)?;
        if parsed.params.len() > MAX_PARAMS {
            return Err(Unusable::TooManyParams);
        }
        let body = match parsed.pieces {
            Some(pieces) => Body::Pieces(pieces),
            None => Body::Conditional(Box::new(environment(text)?)),
        };
        Ok(Self { params: parsed.params, body })
    }

    /// The declared parameters, in order of appearance.
    pub fn params(&self) -> &[String] {
        &self.params
    }

    /// Everything that keeps `given` from fitting exactly.
    pub fn misfits(&self, given: &BTreeMap<String, serde_json::Value>) -> Vec<Unfit> {
        let missing = self.params.iter().filter(|name| !given.contains_key(*name)).map(|name| Unfit::Missing(name.clone()));
        let unknown = given.keys().filter(|name| !self.params.contains(name)).map(|name| Unfit::Unknown(name.clone()));
        missing.chain(unknown).collect()
    }

    /// Fills in parameters that have no [`Self::misfits`].
    pub fn render(&self, params: &BTreeMap<String, serde_json::Value>) -> Result<String, NotRendered> {
        match &self.body {
            Body::Pieces(pieces) => {
                let mut out = String::with_capacity(160);
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.push_str(text),
                        Piece::Param(name) => write(&mut out, params.get(name).ok_or(NotRendered::Unfit)?),
                    }
                    if out.len() > MAX_RENDERED_BYTES {
                        return Err(NotRendered::TooLong);
                    }
                }
                Ok(out)
            }
            Body::Conditional(environment) => {
                let mut out = Bounded(Vec::with_capacity(160));
                let template = environment.get_template(NAME).map_err(|_| NotRendered::Unfit)?;
                match template.render_captured_to(Serde(params), &mut out) {
                    Ok(_) => String::from_utf8(out.0).map_err(|_| NotRendered::Unfit),
                    Err(error) if error.kind() == minijinja::ErrorKind::WriteFailure => Err(NotRendered::TooLong),
                    Err(_) => Err(NotRendered::Unfit),
                }
            }
        }
    }
}

/// A text that refuses to grow beyond [`MAX_RENDERED_BYTES`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED_BYTES {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn environment(text: &str) -> Result<Environment<'static>, Unusable> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    // A flag is written as in JSON, whichever way a text is rendered.
    environment.set_formatter(|out, state, value| match bool::try_from(value.clone()) {
        Ok(flag) if value.kind() == ValueKind::Bool => Ok(write!(out, "{flag}")?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_template_owned(NAME, text.to_owned()).map_err(|error| Unusable::Syntax {
        line: error.line().unwrap_or(1),
        reason: error.detail().unwrap_or("cannot be read").to_owned(),
    })?;
    Ok(environment)
}

fn write(out: &mut String, value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => out.push_str(text),
        // Writing to a string does not fail.
        other => _ = write!(out, "{other}"),
    }
}

#[cfg(test)]
mod tests;
