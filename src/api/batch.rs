//! `POST /v1/messages/batch`

use axum::{
    Extension,
    extract::{Request, State},
};
use http::{HeaderMap, HeaderValue};
use serde::{Serialize, de::SeqAccess};
use tidings_core::{id::MessageId, message::Status};
use utoipa::ToSchema;

use super::{
    Api,
    answer::Json,
    extract::{Caller, IdempotencyKey, parse_any, read_json},
    frame::RequestId,
    problem::{Body, FieldError, Problem},
    schema,
    send::REPLAYED,
};
use crate::{
    accept::{
        BatchClaim, BatchItem, ItemResult, MessageFields, Sent,
        draft::escape,
        given::{FromJson, Given, Misfit, Stray, object},
    },
    control::{auth::Machine, model::Scope},
};

const MAX_ITEMS: usize = 1_000;

/// The messages of a batch. More than [`MAX_ITEMS`] are counted, not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    items: Vec<Given<MessageFields>>,
    count: usize,
}

impl FromJson for Items {
    const EXPECTED: &'static str = "a list of messages";

    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Result<Self, Misfit>, A::Error> {
        let mut read = Self::default();
        while read.items.len() < MAX_ITEMS {
            match list.next_element()? {
                Some(item) => read.items.push(item),
                None => break,
            }
        }
        read.count = read.items.len();
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
            read.count += 1;
        }
        Ok(Ok(read))
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.extend((self.count as u64).to_le_bytes());
        self.items.iter().for_each(|item| item.feed(out));
    }
}

object! {
    /// The body of a batch.
    pub struct BatchFields {
        defaults: MessageFields,
        messages: Items,
    }
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchAnswer)]
pub(super) struct Answer<'a> {
    accepted: usize,
    refused: usize,
    results: Vec<ItemAnswer<'a>>,
}

/// What became of an item: `id` and `status`, or `error`.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub(super) struct ItemAnswer<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::MessageStatus>)]
    status: Option<Status>,
    /// Present if the item was accepted by an earlier request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>)]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Problem>)]
    error: Option<Body<'a>>,
}

/// Send up to a thousand messages
///
/// Each item stands for itself: one that is refused fails no other. All accepted ones are durable when the answer leaves.
/// Pointers in errors are relative to the item.
#[utoipa::path(
    post, path = "/v1/messages/batch", tag = "Messages", operation_id = "send_batch",
    params(("Idempotency-Key" = Option<String>, Header, description = "Covers the batch as a whole", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = schema::BatchRequest),
    responses((status = 200, description = "What became of each item", body = Answer,
        headers(("Idempotent-Replayed" = Option<String>, description = "`true` if this is the answer to an earlier request")))),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn send_batch(
    caller: Caller,
    key: IdempotencyKey,
    State(api): State<Api>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<(HeaderMap, Json), Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let key = key.get()?;
    let bytes = read_json(request, api.http.max_batch_bytes, api.http.body_timeout).await?;
    let fields = match parse_any::<BatchFields>(&bytes)? {
        Given::Is(fields) => fields,
        _ => return Err(Problem::invalid(vec![FieldError::at("", "type", "the body must be an object")])),
    };
    drop(bytes);
    let mut headers = HeaderMap::new();
    let Some(key) = key else {
        let answer = answered(&api, &sender, items(fields)?, None, &request_id).await?;
        return Ok((headers, Json(answer.into())));
    };
    let mut canonical = Vec::new();
    fields.feed(&mut canonical);
    let items = items(fields)?;
    match api.accept.claim_batch(&sender, key, &canonical).await? {
        BatchClaim::Before(answer) => {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            Ok((headers, Json(answer.into())))
        }
        BatchClaim::Now(claim) => {
            let answer = answered(&api, &sender, items, Some(key), &request_id).await?;
            api.accept.keep_batch(claim, answer.clone()).await?;
            Ok((headers, Json(answer.into())))
        }
    }
}

async fn answered(
    api: &Api,
    sender: &Machine,
    items: Vec<BatchItem>,
    key: Option<&str>,
    request_id: &RequestId,
) -> Result<Vec<u8>, Problem> {
    let results = api.accept.send_batch(sender, items, key).await?;
    let results: Vec<Result<Sent, Problem>> = results
        .into_iter()
        .map(|result: ItemResult| {
            result.map_err(|refusal| {
                api.count_refusal(&refusal);
                refusal.into()
            })
        })
        .collect();
    let refused = results.iter().filter(|result| result.is_err()).count();
    let shown = results.iter().enumerate().map(|(index, result)| match result {
        Ok(Sent { message, replayed }) => {
            ItemAnswer { index, id: Some(message.id), status: Some(message.first_status()), replayed: *replayed, error: None }
        }
        Err(problem) => ItemAnswer { index, id: None, status: None, replayed: false, error: Some(problem.body(request_id.as_str())) },
    });
    let answer = Answer { accepted: results.len() - refused, refused, results: shown.collect() };
    Ok(serde_json::to_vec(&answer).expect("views have string keys and serialise to memory"))
}

/// The items with their defaults under them.
fn items(fields: BatchFields) -> Result<Vec<BatchItem>, Problem> {
    let mut errors: Vec<FieldError> = fields
        .stray
        .iter()
        .map(|stray| match stray {
            Stray::Unknown(name) => FieldError::at(format!("/{}", escape(name)), "unknown", "is not a field"),
            Stray::Duplicate(name) => FieldError::at(format!("/{name}"), "duplicate", "is given twice"),
        })
        .collect();
    let defaults = match fields.defaults {
        Given::Is(defaults) => defaults,
        Given::Absent | Given::Null => MessageFields::default(),
        Given::Wrong(misfit) => {
            errors.push(FieldError::at("/defaults", misfit.code(), "must be an object"));
            MessageFields::default()
        }
    };
    let items = match fields.messages {
        Given::Is(items) if (1..=MAX_ITEMS).contains(&items.count) => items.items,
        Given::Is(_) => {
            errors.push(FieldError::at("/messages", "length", format!("must have 1 to {MAX_ITEMS} messages")));
            Vec::new()
        }
        Given::Wrong(misfit) => {
            errors.push(FieldError::at("/messages", misfit.code(), format!("must be {}", Items::EXPECTED)));
            Vec::new()
        }
        Given::Absent | Given::Null => {
            errors.push(FieldError::at("/messages", "required", "is required"));
            Vec::new()
        }
    };
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let item = |item: Given<MessageFields>| match item {
        Given::Is(fields) => Some(fields.over(&defaults)),
        _ => None,
    };
    Ok(items.into_iter().map(item).collect())
}
