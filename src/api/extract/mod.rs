//! What handlers take from a request, each refusing in the words of the contract.

mod auth;
mod body;
mod idempotency;
mod object;
mod path;
mod query;
mod traceparent;

pub use self::{
    auth::{Caller, bearer, principal},
    body::{Body, parse_any, read_json},
    idempotency::IdempotencyKey,
    object::Object,
    path::Id,
    query::{NoParameters, Query, TakesNone, cursor, limit, no_parameters},
    traceparent::Traceparent,
};
