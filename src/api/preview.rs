//! `POST /v1/messages/preview`

use std::borrow::Cow;

use axum::extract::State;
use serde::Serialize;
use tidings_core::{
    message::{Category, Channel, Encoding, Lane},
    segments,
};
use utoipa::ToSchema;

use super::{
    Api,
    answer::Json,
    extract::{Body, Caller},
    problem::Problem,
    schema,
};
use crate::{
    accept::{MessageFields, Prepared},
    control::model::Scope,
};

/// What a message would be.
#[derive(Serialize, ToSchema)]
pub(super) struct Preview<'a> {
    /// With the signature where a provider is sent it within the text.
    #[schema(value_type = String, example = "Your code is 482913.")]
    text: Cow<'a, str>,
    #[schema(value_type = Option<schema::Encoding>, required = true)]
    encoding: Option<Encoding>,
    segments: u32,
    /// The characters that force UCS-2.
    non_gsm: Vec<String>,
    #[schema(value_type = schema::Lane)]
    lane: Lane,
    #[schema(value_type = schema::Category)]
    category: Category,
    /// Who could take it, in the order of the route.
    candidates: Vec<Candidate<'a>>,
}

/// A provider that could take the message.
#[derive(Serialize, ToSchema)]
pub(super) struct Candidate<'a> {
    #[schema(example = "aliyun-main")]
    provider: &'a str,
    /// Of the whole message.
    #[schema(example = "0.0100")]
    price: String,
}

/// See what a message would be
///
/// Takes the body of a send and sends nothing.
#[utoipa::path(
    post, path = "/v1/messages/preview", tag = "Messages", operation_id = "preview",
    request_body(content = schema::SendRequest),
    responses((status = 200, description = "What the message would be", body = Preview)),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn preview(caller: Caller, State(api): State<Api>, body: Result<Body<MessageFields>, Problem>) -> Result<Json, Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let Body(fields) = body?;
    Ok(api.accept.preview(&sender, fields, |prepared| Json::of(&shown(prepared)))?)
}

fn shown<'a>(prepared: &'a Prepared<'_>) -> Preview<'a> {
    let message = &prepared.message;
    let text = match &message.signature {
        Some(signature) if prepared.signature_in_text => Cow::Owned(segments::signed(signature, message.text.expose())),
        _ => Cow::Borrowed(message.text.expose().as_str()),
    };
    let non_gsm = if message.channel == Channel::Sms { segments::non_gsm(&text) } else { Vec::new() };
    Preview {
        text,
        encoding: message.encoding,
        segments: message.segments,
        non_gsm: non_gsm.into_iter().map(String::from).collect(),
        lane: message.lane(),
        category: message.category,
        candidates: prepared
            .candidates
            .iter()
            .map(|provider| Candidate { provider: &provider.name, price: provider.price.times(message.segments).to_string() })
            .collect(),
    }
}
