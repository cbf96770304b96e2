//! Receipts of kind `http`: verified by our token, read from JSON, a form or the query.

use std::collections::BTreeMap;

use http::header;
use reqwest::Url;
use serde_json::Value;
use subtle::ConstantTimeEq;
use tidings_core::redact::Secret;

use super::response::scalar;
use crate::{
    Receipt, ReceiptError, ReceiptRequest, ReceiptStatus,
    provider::{MAX_CODE_CHARS, MAX_PROVIDER_MESSAGE_ID_CHARS},
};

/// A vendor that reports more at once reports in several calls.
const MAX_RECEIPTS: usize = 1_000;

#[derive(Debug)]
pub struct ReceiptReader {
    /// Without one nobody can prove to be the vendor: every receipt is refused.
    pub token: Option<Secret>,
    pub message_id: Field,
    pub reference: Field,
    pub status: Field,
    pub error_code: Field,
    pub map: BTreeMap<String, ReceiptStatus>,
}

/// Where a value stands: a pointer in JSON, a name in a form or query. Either way of writing is understood for both.
#[derive(Debug)]
pub struct Field {
    pointer: String,
    name: String,
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        match text.strip_prefix('/') {
            Some(name) => Self { name: name.to_owned(), pointer: text },
            None => Self { pointer: format!("/{text}"), name: text },
        }
    }
}

/// The pairs of a form or a query, the first of a name counts.
type Pairs = BTreeMap<String, String>;

impl ReceiptReader {
    pub fn read(&self, request: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
        let query = pairs(request.query.expose());
        self.verify(&query)?;
        let body = request.body.expose();
        if body.iter().all(u8::is_ascii_whitespace) {
            return self.receipt(|field| query.get(&field.name).filter(|text| !text.is_empty()).cloned()).map(|receipt| vec![receipt]);
        }
        if is_form(request) {
            let form = pairs(std::str::from_utf8(body).map_err(|_| ReceiptError::Malformed)?);
            let find = |field: &Field| form.get(&field.name).or_else(|| query.get(&field.name)).filter(|text| !text.is_empty()).cloned();
            return self.receipt(find).map(|receipt| vec![receipt]);
        }
        let json: Value = serde_json::from_slice(body).map_err(|_| ReceiptError::Malformed)?;
        match &json {
            // A list of receipts, unless the pointers themselves look into the list.
            Value::Array(items) if json.pointer(&self.status.pointer).is_none() => {
                if items.len() > MAX_RECEIPTS {
                    return Err(ReceiptError::Malformed);
                }
                items.iter().map(|item| self.receipt(|field| scalar(item, &field.pointer))).collect()
            }
            _ => self.receipt(|field| scalar(&json, &field.pointer)).map(|receipt| vec![receipt]),
        }
    }

    fn verify(&self, query: &Pairs) -> Result<(), ReceiptError> {
        let (Some(token), Some(given)) = (&self.token, query.get("token")) else { return Err(ReceiptError::Unverified) };
        let equal: bool = token.expose().as_bytes().ct_eq(given.as_bytes()).into();
        if equal { Ok(()) } else { Err(ReceiptError::Unverified) }
    }

    fn receipt(&self, find: impl Fn(&Field) -> Option<String>) -> Result<Receipt, ReceiptError> {
        let vendor_status = find(&self.status).ok_or(ReceiptError::Malformed)?;
        let id = |field| find(field).filter(|id| id.chars().count() <= MAX_PROVIDER_MESSAGE_ID_CHARS);
        let (provider_message_id, reference) = (id(&self.message_id), id(&self.reference));
        if provider_message_id.is_none() && reference.is_none() {
            return Err(ReceiptError::Malformed);
        }
        let status = self.status_of(&vendor_status);
        Ok(Receipt {
            provider_message_id,
            reference,
            status,
            vendor_status: bounded(&vendor_status),
            error_code: find(&self.error_code).map(|code| bounded(&code)),
            at: None,
        })
    }

    /// A status that nobody mapped at least proves that the vendor holds the message; our own words need no mapping.
    fn status_of(&self, vendor_status: &str) -> ReceiptStatus {
        if let Some(status) = self.map.get(vendor_status) {
            return *status;
        }
        [ReceiptStatus::Delivered, ReceiptStatus::Undelivered]
            .into_iter()
            .find(|status| vendor_status.eq_ignore_ascii_case(status.as_str()))
            .unwrap_or(ReceiptStatus::Submitted)
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CODE_CHARS).collect()
}

fn is_form(request: &ReceiptRequest) -> bool {
    let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

fn pairs(query: &str) -> Pairs {
    // Any address will do: only the decoding of its query is wanted.
    let Ok(mut url) = Url::parse("http://localhost/") else { return Pairs::new() };
    url.set_query(Some(query));
    let mut pairs = Pairs::new();
    for (name, value) in url.query_pairs() {
        pairs.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    pairs
}
