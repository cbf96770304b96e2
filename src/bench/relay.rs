//! The bare relay: what the same HTTP server and client do when nothing is kept, chosen or looked up.
//!
//! It reads a message, answers 202 and passes it on with at most `in_flight` calls out. Everything that Tidings does more
//! is Tidings' price.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde::Deserialize;
use tidings_core::{
    id::{AppId, MessageId},
    message::{Category, Channel, Message},
    redact::{Redacted, Text},
};
use tidings_providers::{Http, NotDurable, Provider, Receipt, ReceiptSink, Submission, registry};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::clock::Clock;

/// As long as a provider's own default.
const TIMEOUT: Duration = Duration::from_secs(3);

struct Relay {
    provider: Arc<dyn Provider>,
    permits: Arc<Semaphore>,
    clock: Clock,
}

#[derive(Deserialize)]
struct Sent {
    to: Redacted<String>,
    text: Text,
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, vendor: SocketAddr, in_flight: usize) -> anyhow::Result<()> {
    let settings = serde_json::json!({"url": format!("http://{vendor}/send"), "message_id": "/id"});
    let context = tidings_providers::Context {
        http: Http::new().context("no HTTP client")?,
        receipts: Arc::new(Nobody),
        now: || Clock::system().now(),
        random: || u64::from_le_bytes(Clock::system().random()),
    };
    let settings = settings.as_object().context("settings are an object")?;
    let provider = registry::build("http", "sink", Channel::Sms, settings, &context)
        .map_err(|errors| anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let relay = Arc::new(Relay { provider, permits: Arc::new(Semaphore::new(in_flight)), clock: Clock::system() });
    let app = Router::new().route("/v1/messages", post(send)).with_state(relay);
    axum::serve(listener, app).await.context("the relay ended")
}

async fn send(State(relay): State<Arc<Relay>>, Json(sent): Json<Sent>) -> impl IntoResponse {
    let now = relay.clock.now();
    let id = MessageId::new(now, relay.clock.random());
    let message = Message {
        id,
        app: AppId::from_uuid(id.uuid()),
        key: None,
        to: sent.to,
        channel: Channel::Sms,
        category: Category::Transactional,
        text: sent.text,
        subject: None,
        template: None,
        params: Redacted::default(),
        signature: None,
        encoding: None,
        segments: 1,
        reference: None,
        metadata: std::collections::BTreeMap::new(),
        accepted_at: now,
        send_at: None,
        expires_at: now + Duration::from_secs(3_600),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    };
    let submission = Submission {
        message: Arc::new(message),
        attempt: 1,
        timeout: TIMEOUT,
        template: None,
        signature: None,
        receipts: false,
        callback: None,
        traceparent: None,
    };
    let Ok(permit) = Arc::clone(&relay.permits).acquire_owned().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let provider = Arc::clone(&relay.provider);
    tokio::spawn(async move {
        let _permit = permit;
        // A relay keeps nothing, so it has nothing to do about an error either.
        let _ = provider.submit(&submission).await;
    });
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "id": id, "status": "accepted" }))).into_response()
}

struct Nobody;

#[async_trait]
impl ReceiptSink for Nobody {
    async fn confirm(&self, _: &str, _: Vec<Receipt>) -> Result<(), NotDurable> {
        Ok(())
    }
}
