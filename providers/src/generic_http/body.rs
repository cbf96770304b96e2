//! The body of a request: the default one, or a template whose values are escaped for the format they stand in.
//!
//! In JSON a string is escaped for the inside of quotes, which the template writes itself (`{"to": "{{ to }}"}`); numbers,
//! booleans and whole tables (`{{ params }}`) are written as JSON. In a form every value is percent-encoded. A template is
//! tried when the settings are read, with values that would break it if escaping failed.

use std::{fmt, fmt::Write, sync::Arc};

use bytes::Bytes;
use minijinja::{
    Environment, Error, ErrorKind, Output, UndefinedBehavior, Value, context,
    value::{Object, ValueKind},
};
use serde::Serialize;
use tidings_core::redact::Redacted;

use crate::Submission;

const NAME: &str = "body";
/// Instructions that one rendering may take: a body has a few dozen.
const FUEL: u64 = 10_000;
/// What would end a string, a pair or the body if it were not escaped.
const PROBE: &str = "a\"b\\c\n&d=e+%{}é";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Form,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

pub enum Body {
    /// `id`, `to`, `text`, `from`.
    Default(Format),
    Template {
        format: Format,
        environment: Box<Environment<'static>>,
        /// Whether the template places the signature itself; else it stands before the text.
        places_signature: bool,
    },
}

/// A parameter that the template needs is not there, or is no number where one must stand.
#[derive(Debug)]
pub struct NotRendered;

impl Body {
    /// Compiles the template, or says what is wrong with it.
    pub fn from_template(format: Format, source: String) -> Result<Self, String> {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(match format {
            Format::Json => write_json,
            Format::Form => write_form,
        });
        environment.add_template_owned(NAME, source).map_err(|error| problem(&error))?;
        // Parameters may be strings or numbers; a number stands well both inside quotes and without.
        let probe = |signature: &str, parameter: Value| {
            let params = Value::from_object(AnyParameter(parameter));
            let values = context! { id => PROBE, to => PROBE, text => PROBE, from => PROBE, signature => signature, params => params };
            environment.get_template(NAME).and_then(|template| template.render(values)).map_err(|error| problem(&error))
        };
        let (rendered, other) = (probe(PROBE, Value::from(7))?, probe("", Value::from(7))?);
        if format == Format::Json && !is_json(&rendered) {
            return Err("does not make JSON: strings must stand in quotes".to_owned());
        }
        Ok(Self::Template { format, places_signature: rendered != other, environment: Box::new(environment) })
    }

    pub fn render(&self, submission: &Submission, from: &Redacted<String>) -> Result<Bytes, NotRendered> {
        match self {
            Self::Default(format) => default_body(*format, submission, from.expose()),
            Self::Template { format, environment, places_signature } => {
                let message = &submission.message;
                let text = if *places_signature { message.text.clone() } else { submission.signed_text() };
                let values = context! {
                    id => submission.reference(),
                    to => submission.to(),
                    text => text.expose(),
                    from => from.expose(),
                    signature => submission.signature.as_deref().unwrap_or_default(),
                    params => Value::from_pairs(message.params.expose().iter().map(|(name, value)| (name.as_str(), parameter(value)))),
                };
                let template = environment.get_template(NAME).map_err(|_| NotRendered)?;
                let rendered = template.render(values).map_err(|_| NotRendered)?;
                // A text where the template expects a number: the vendor could only refuse it.
                if *format == Format::Json && !is_json(&rendered) { Err(NotRendered) } else { Ok(Bytes::from(rendered)) }
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default(_) => "Default",
            Self::Template { .. } => "Template",
        })
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn default_body(format: Format, submission: &Submission, from: &str) -> Result<Bytes, NotRendered> {
    #[derive(Serialize)]
    struct Fields<'a> {
        id: tidings_core::id::MessageId,
        to: &'a str,
        text: &'a str,
        from: Option<&'a str>,
    }
    let text = submission.signed_text();
    let from = Some(from).filter(|from| !from.is_empty());
    match format {
        Format::Json => {
            let fields = Fields { id: submission.message.id, to: submission.to(), text: text.expose(), from };
            serde_json::to_vec(&fields).map(Bytes::from).map_err(|_| NotRendered)
        }
        Format::Form => {
            let mut form = String::with_capacity(256);
            let id = submission.reference();
            for (name, value) in
                [("id", id.as_str()), ("&to", submission.to()), ("&text", text.expose()), ("&from", from.unwrap_or_default())]
            {
                form.push_str(name);
                form.push('=');
                percent_encode(&mut form, value).map_err(|_| NotRendered)?;
            }
            Ok(form.into())
        }
    }
}

/// Parameters are strings, numbers or booleans.
fn parameter(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::from).or_else(|| number.as_f64().map(Value::from)).unwrap_or_default()
        }
        _ => Value::default(),
    }
}

/// Says where and what kind, never the value.
fn problem(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    let hint = if error.kind() == ErrorKind::UndefinedError { "; known are id, to, text, from, signature and params" } else { "" };
    format!("is not a template that can be rendered{line}: {}{hint}", error.kind())
}

fn write_json(out: &mut Output<'_>, _: &mut minijinja::State<'_, '_>, value: &Value) -> Result<(), Error> {
    let failed = |_| Error::new(ErrorKind::WriteFailure, "not JSON");
    let json = serde_json::to_string(value).map_err(failed)?;
    let inside = if value.kind() == ValueKind::String {
        json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&json)
    } else {
        &json
    };
    out.write_str(inside).map_err(Error::from)
}

fn write_form(out: &mut Output<'_>, _: &mut minijinja::State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => percent_encode(out, text),
        None => percent_encode(out, &value.to_string()),
    }
    .map_err(Error::from)
}

/// The byte serialiser of `application/x-www-form-urlencoded` (WHATWG URL Standard, section 5.2).
fn percent_encode(out: &mut impl Write, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.write_char(char::from(byte))?,
            b' ' => out.write_char('+')?,
            _ => write!(out, "%{byte:02X}")?,
        }
    }
    Ok(())
}

/// Stands in for parameters while the settings are checked: it has every one.
#[derive(Debug)]
struct AnyParameter(Value);

impl Object for AnyParameter {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(self.0.clone())
    }
}
