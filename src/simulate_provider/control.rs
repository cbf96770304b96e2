//! The control API: look at what happened, switch what shall happen.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{Behaviour, Vendor};

pub fn routes() -> Router<Arc<Vendor>> {
    Router::new()
        .route("/behaviour", get(show).put(replace).patch(change))
        .route("/processed", get(processed).delete(forget))
        .route("/processed/{id}", get(processed_one))
        .route("/cut", get(cut))
        .route("/figures", get(figures))
}

async fn show(State(vendor): State<Arc<Vendor>>) -> Json<Behaviour> {
    Json(vendor.behaviour.load().as_ref().clone())
}

async fn replace(vendor: State<Arc<Vendor>>, Json(behaviour): Json<Value>) -> Response {
    switch(&vendor, &Behaviour::default(), &behaviour)
}

async fn change(vendor: State<Arc<Vendor>>, Json(change): Json<Value>) -> Response {
    let current = vendor.behaviour.load_full();
    switch(&vendor, &current, &change)
}

fn switch(vendor: &Vendor, from: &Behaviour, change: &Value) -> Response {
    match from.changed(change) {
        Ok(behaviour) => {
            vendor.switch(behaviour.clone());
            Json(behaviour).into_response()
        }
        Err(refused) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": refused.to_string() }))).into_response(),
    }
}

/// How often each message was processed.
async fn processed(State(vendor): State<Arc<Vendor>>) -> Json<Value> {
    Json(json!({ "processed": vendor.ledger.all_processed() }))
}

async fn processed_one(State(vendor): State<Arc<Vendor>>, Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "id": id, "times": vendor.ledger.times_processed(&id) }))
}

/// Calls whose caller went away before the answer, and whether the message was out by then.
async fn cut(State(vendor): State<Arc<Vendor>>) -> Json<Value> {
    Json(json!({ "cut": vendor.ledger.cut() }))
}

async fn figures(State(vendor): State<Arc<Vendor>>) -> Json<Value> {
    Json(json!({ "figures": vendor.ledger.figures(), "receipts": vendor.reporter.answers() }))
}

async fn forget(State(vendor): State<Arc<Vendor>>) -> StatusCode {
    vendor.ledger.forget();
    vendor.reporter.forget();
    StatusCode::NO_CONTENT
}
