//! What an answer means: the vendor's code is looked up first, then the status, then what every status means by default.

use std::collections::BTreeMap;

use serde_json::Value;
use tidings_core::attempt::Outcome;

use crate::{Accepted, Code, SubmitError, http::Answer, provider::MAX_PROVIDER_MESSAGE_ID_CHARS};

#[derive(Debug)]
pub enum Statuses {
    Any2xx,
    Listed(Vec<u16>),
}

#[derive(Debug)]
pub struct ResponseReader {
    pub success: Statuses,
    pub message_id: Option<String>,
    pub error_code: Option<String>,
    /// The vendor's code, or `http_<status>`, to its meaning.
    pub errors: BTreeMap<String, Outcome>,
}

impl ResponseReader {
    pub fn read(&self, answer: &Answer) -> Result<Accepted, SubmitError> {
        let json = self.json(answer);
        let vendor_code = json.as_ref().and_then(|json| scalar(json, self.error_code.as_deref()?));
        let http_code = Code::http(answer.status.as_u16());
        let mapped = vendor_code.as_deref().and_then(|code| self.errors.get(code)).or_else(|| self.errors.get(http_code.as_str()));
        let outcome = mapped.copied().unwrap_or_else(|| self.by_status(answer));
        let code = vendor_code.map_or(http_code, |code| Code::new(&code));
        match SubmitError::of(outcome, code, answer.retry_after()) {
            Some(error) => Err(error),
            None => self.accepted(json.as_ref()),
        }
    }

    /// `None` where nothing in the body is asked for, or where it cannot be read.
    fn json(&self, answer: &Answer) -> Option<Value> {
        self.reads_body().then_some(answer.body.as_ref())?.and_then(|body| serde_json::from_slice(body).ok())
    }

    const fn reads_body(&self) -> bool {
        self.message_id.is_some() || self.error_code.is_some()
    }

    fn by_status(&self, answer: &Answer) -> Outcome {
        let status = answer.status.as_u16();
        match (&self.success, answer.default_outcome()) {
            (Statuses::Listed(listed), _) if listed.contains(&status) => Outcome::Accepted,
            // A success that this vendor is not known to answer with: nobody can say what became of the message.
            (Statuses::Listed(_), Outcome::Accepted) => Outcome::Ambiguous,
            (_, outcome) => outcome,
        }
    }

    /// An acceptance whose body should be read and cannot is none: it may have been cut short by anybody on the way.
    fn accepted(&self, json: Option<&Value>) -> Result<Accepted, SubmitError> {
        match json {
            None if self.reads_body() => Err(SubmitError::Ambiguous { code: Code::new(Code::MALFORMED) }),
            _ => {
                let id = json.and_then(|json| scalar(json, self.message_id.as_deref()?));
                Ok(Accepted { provider_message_id: id.filter(|id| id.chars().count() <= MAX_PROVIDER_MESSAGE_ID_CHARS), segments: None })
            }
        }
    }
}

/// A string or a number as text; nothing, null, the empty string and anything else are no value.
pub fn scalar(json: &Value, pointer: &str) -> Option<String> {
    match json.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
