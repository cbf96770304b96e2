//! One call to the simulated vendor.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Behaviour, Vendor, ledger::OpenCall, wire::Connection};

/// The part of a body that counts. Everything else is read past.
#[derive(Deserialize)]
struct Submitted<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

pub async fn submit(
    State(vendor): State<Arc<Vendor>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(id) = message_id(&headers, &body) else {
        vendor.ledger.answer("unreadable");
        return refusal(StatusCode::BAD_REQUEST, Some("no_id"));
    };
    let behaviour = vendor.behaviour.load_full();
    let mut call = vendor.ledger.open(id);
    let answer = answer_to(&vendor, &behaviour, &connection, &mut call).await;
    call.finished();
    answer
}

async fn answer_to(vendor: &Arc<Vendor>, behaviour: &Behaviour, connection: &Connection, call: &mut OpenCall<'_>) -> Response {
    if behaviour.refuse {
        // A connection from before the listener closed.
        return connection.reset();
    }
    if vendor.happens(behaviour.hang_share) {
        vendor.ledger.answer("hung");
        if vendor.happens(behaviour.hang_processed_share) {
            process(vendor, behaviour, call).await;
        }
        return std::future::pending().await;
    }
    let latency = vendor.latency(behaviour);
    pass(latency / 2).await;
    if !vendor.ledger.lets_through(behaviour.throttle_per_s) {
        vendor.ledger.answer("throttled");
        let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, Some("throttled"));
        answer.headers_mut().insert(header::RETRY_AFTER, behaviour.retry_after().as_secs().into());
        return answer;
    }
    if vendor.happens(behaviour.error_share) {
        vendor.ledger.answer("error");
        pass(latency / 2).await;
        let status = StatusCode::from_u16(behaviour.error_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refusal(status, behaviour.error_code.as_deref());
    }
    let vendor_id = process(vendor, behaviour, call).await;
    pass(latency - latency / 2).await;
    answer(vendor, behaviour, connection, &vendor_id)
}

/// The message is out: counted, and its receipts are on their way. Returns the vendor's id of it.
async fn process(vendor: &Arc<Vendor>, behaviour: &Behaviour, call: &mut OpenCall<'_>) -> String {
    let vendor_id = format!("sp-{:08x}-{}", vendor.run, vendor.ledger.next_number());
    let dropped = vendor.happens(behaviour.drop_share);
    let reports = behaviour.receipts.as_ref().filter(|_| !dropped).map(|receipts| vendor.plan(receipts, &vendor_id, call.id()));
    call.process();
    if let Some(plan) = reports {
        if plan.before_answer {
            vendor.reporter.report(plan).await;
        } else {
            let vendor = Arc::clone(vendor);
            tokio::spawn(async move { vendor.reporter.report(plan).await });
        }
    }
    vendor_id
}

fn answer(vendor: &Vendor, behaviour: &Behaviour, connection: &Connection, vendor_id: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    if vendor.happens(behaviour.reset_share) {
        vendor.ledger.answer("reset");
        return connection.reset();
    }
    if vendor.happens(behaviour.malformed_share) {
        vendor.ledger.answer("malformed");
        return (json, "{\"id\": \"").into_response();
    }
    if vendor.happens(behaviour.cut_share) {
        vendor.ledger.answer("cut");
        return connection.cut("{\"id\": \"");
    }
    vendor.ledger.accept();
    (json, format!("{{\"id\":\"{vendor_id}\"}}")).into_response()
}

impl Vendor {
    fn latency(&self, behaviour: &Behaviour) -> Duration {
        if self.happens(behaviour.tail_share) {
            return Duration::from_millis(behaviour.tail_ms);
        }
        let (p50, p99) = (Duration::from_millis(behaviour.latency_ms), Duration::from_millis(behaviour.latency_p99_ms));
        if p99 > p50 { self.draw(|dice| tidings_providers::simulated::Latency::new(p50, p99).draw(dice)) } else { p50 }
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn refusal(status: StatusCode, code: Option<&str>) -> Response {
    let body = serde_json::json!({ "code": code });
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body.to_string())).into_response()
}

/// `id` in JSON or in a form.
fn message_id(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let text = std::str::from_utf8(body).ok()?;
        return text.split('&').find_map(|pair| pair.strip_prefix("id=")).map(str::to_owned);
    }
    serde_json::from_slice::<Submitted<'_>>(body).ok().map(|submitted| submitted.id.into_owned())
}
