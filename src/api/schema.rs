//! What the OpenAPI document says about shapes that the handlers read and write by other means: requests are read field
//! by field, words come from `core`. A test holds the names here against those that are read.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tidings_core::{attempt, message, template};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::RefOr,
    openapi::schema::{ObjectBuilder, Schema, SchemaType, Type},
};

use crate::accept::draft::{MAX_METADATA, MAX_METADATA_KEY_CHARS, MAX_METADATA_VALUE_CHARS};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $domain:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize)]
        #[serde(transparent)]
        pub struct $name($domain);

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(<$domain>::ALL.iter().map(|word| word.as_str()))).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

words! {
    /// How a message reaches its recipient.
    Channel = message::Channel;
    /// What a message is for.
    Category = message::Category;
    /// Lanes share nothing that one could starve.
    Lane = message::Lane;
    /// The alphabet of an SMS.
    Encoding = message::Encoding;
    /// Where a message stands.
    MessageStatus = message::Status;
    /// How an attempt ended.
    Outcome = attempt::Outcome;
}

/// Text that a database can hold.
const NO_NUL: &str = "^[^\\u0000]*$";

fn text(max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(max)).pattern(Some(NO_NUL))
}

/// Strings, numbers and booleans by name.
fn params() -> Schema {
    let value = text(template::MAX_VALUE_CHARS).schema_type(SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]));
    let types = SchemaType::from_iter([Type::Object, Type::Null]);
    ObjectBuilder::new().schema_type(types).description(Some("Exactly the template's parameters")).additional_properties(Some(value)).into()
}

/// Strings by name.
fn metadata() -> Schema {
    let types = SchemaType::from_iter([Type::Object, Type::Null]);
    ObjectBuilder::new()
        .schema_type(types)
        .description(Some("Names of up to 40 characters"))
        .max_properties(Some(MAX_METADATA))
        .property_names(Some(text(MAX_METADATA_KEY_CHARS)))
        .additional_properties(Some(text(MAX_METADATA_VALUE_CHARS)))
        .into()
}

/// A message to send. Exactly one of `template` and `text` is given.
#[derive(Serialize, ToSchema)]
#[schema(as = SendRequest, example = json!({
    "to": "+8613800138000", "channel": "sms", "template": "login-code", "params": {"code": "482913"}, "signature": "Acme",
    "expires_in_s": 300, "reference": "order-8812", "metadata": {"shop": "berlin"}
}))]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// E.164 for sms and voice, else an address of the channel.
    #[schema(example = "+8613800138000")]
    pub to: String,
    /// Default `sms`.
    #[schema(nullable)]
    pub channel: Option<Channel>,
    /// `name` (the newest approved version) or `name@version`.
    #[schema(min_length = 1, max_length = 140)]
    pub template: Option<String>,
    /// Default: the template's own.
    #[schema(min_length = 1, max_length = 35)]
    pub locale: Option<String>,
    #[schema(schema_with = params)]
    pub params: Option<BTreeMap<String, Value>>,
    /// Needs the app's `free_text`.
    #[schema(min_length = 1, max_length = 1600, pattern = "^[^\\u0000]*$")]
    pub text: Option<String>,
    /// Of a `text`; default `transactional`.
    pub category: Option<Category>,
    /// An approved signature.
    #[schema(min_length = 1, max_length = 140)]
    pub signature: Option<String>,
    /// In the future, at most 35 days ahead.
    #[schema(format = DateTime)]
    pub send_at: Option<String>,
    /// Counts from `send_at`, else from acceptance. Default: otp 300, transactional 3600, marketing 36000.
    #[schema(minimum = 1, maximum = 36000)]
    pub expires_in_s: Option<i64>,
    /// Waits until it is released.
    pub hold: Option<bool>,
    /// Per message; a dearer provider is not used.
    #[schema(pattern = "^[0-9]{1,6}(\\.[0-9]{1,6})?$", example = "0.0500")]
    pub max_price: Option<String>,
    /// Your own reference: messages can be listed and cancelled by it.
    #[schema(max_length = 128, pattern = "^[^\\u0000]*$")]
    pub reference: Option<String>,
    #[schema(schema_with = metadata)]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Up to a thousand messages.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchRequest, example = json!({
    "defaults": {"template": "login-code"},
    "messages": [{"to": "+8613800138000", "params": {"code": "482913"}, "idempotency_key": "login-1"}]
}))]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// Fields that every message has unless it brings its own.
    pub defaults: Option<BTreeMap<String, Value>>,
    /// Each a send request, in which fields may come from the defaults, with an optional `idempotency_key` of its own. What
    /// is none is refused alone.
    #[schema(min_items = 1, max_items = 1000)]
    pub messages: Vec<Value>,
}

/// An error, as RFC 9457 describes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/problems/invalid", "title": "Some fields are not valid", "status": 422, "detail": "must be an E.164 number such as +8613800138000",
    "code": "invalid", "request_id": "7d4k2m9q0000000000001",
    "errors": [{"pointer": "/to", "code": "format", "detail": "must be an E.164 number such as +8613800138000"}]
}))]
pub struct Problem {
    /// The path of a page that explains the code.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// Stable, for programs.
    pub code: String,
    pub request_id: String,
    /// Every wrong field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<WrongField>>,
    /// Which limit was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Where the message stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_status: Option<MessageStatus>,
}

/// A wrong field of the body, or a wrong parameter of the query.
#[derive(Serialize, ToSchema)]
#[schema(as = WrongField)]
pub struct WrongField {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    pub code: String,
    pub detail: String,
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
#[schema(as = MessagePage)]
pub struct MessagePage<'a> {
    pub data: Vec<super::view::ListedView<'a>>,
    /// Null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::MessageFields;

    #[test]
    fn documented_fields_of_a_send_are_those_that_are_read() {
        let schema = serde_json::to_value(SendRequest::schema()).unwrap();
        let mut documented: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        documented.push("idempotency_key");
        documented.sort_unstable();
        let mut read = MessageFields::NAMES.to_vec();
        read.sort_unstable();
        assert_eq!(documented, read);
        assert_eq!(schema["additionalProperties"], false);
    }
}
