use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tidings_core::{attempt::Outcome, redact::Redacted};

use super::*;
use crate::{ReceiptStatus, http::Answer, testing};

fn config(settings: serde_json::Value) -> Result<Config, Vec<crate::SettingError>> {
    Config::read(settings.as_object().unwrap())
}

fn submission(text: &str, signature: Option<&str>) -> Submission {
    let mut message = testing::message("+8613800138000");
    message.text = Redacted::new(text.to_owned());
    message.params = Redacted::new(std::collections::BTreeMap::from([("code".to_owned(), json!("48\"29")), ("n".to_owned(), json!(3))]));
    Submission { signature: signature.map(Into::into), ..testing::submission(message) }
}

fn body(settings: serde_json::Value, submission: &Submission) -> String {
    let config = config(settings).unwrap();
    String::from_utf8(config.body.render(submission, &config.from).unwrap().to_vec()).unwrap()
}

fn read(settings: serde_json::Value, status: u16, answer: &str) -> (Outcome, Option<String>, Option<String>) {
    let answer =
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: Some(Bytes::from(answer.to_owned())) };
    match config(settings).unwrap().response.read(&answer) {
        Ok(accepted) => (Outcome::Accepted, None, accepted.provider_message_id),
        Err(error) => (error.outcome(), Some(error.code().to_string()), None),
    }
}

#[test]
fn the_default_body_is_id_to_text_and_from() {
    let submission = submission("Your \"code\"", None);
    let id = submission.reference();
    assert_eq!(
        body(json!({"url": "http://v/send", "from": "Acme"}), &submission),
        format!(r#"{{"id":"{id}","to":"+8613800138000","text":"Your \"code\"","from":"Acme"}}"#)
    );
    assert_eq!(
        body(json!({"url": "http://v/send", "content_type": "form"}), &submission),
        format!("id={id}&to=%2B8613800138000&text=Your+%22code%22&from=")
    );
}

#[test]
fn a_signature_stands_before_the_text_unless_the_body_places_it() {
    let submission = submission("Hello", Some("Acme"));
    let text = |template: &str| body(json!({"url": "http://v/", "body": template}), &submission);
    assert_eq!(text(r#"{"t": "{{ text }}"}"#), r#"{"t": "【Acme】Hello"}"#);
    assert_eq!(text(r#"{"t": "{{ text }}", "s": "{{ signature }}"}"#), r#"{"t": "Hello", "s": "Acme"}"#);
    assert!(body(json!({"url": "http://v/"}), &submission).contains("【Acme】Hello"));
}

#[test]
fn values_in_a_body_are_escaped_for_its_format() {
    let submission = submission("a\"b\\c\n&d=e +%é", None);
    let rendered = body(
        json!({"url": "http://v/", "body": r#"{"t": "{{ text }}", "c": "{{ params.code }}", "n": {{ params.n }}, "p": {{ params }}}"#}),
        &submission,
    );
    let parsed: serde_json::Value = serde_json::from_str(&rendered).unwrap();
    assert_eq!(parsed, json!({"t": "a\"b\\c\n&d=e +%é", "c": "48\"29", "n": 3, "p": {"code": "48\"29", "n": 3}}));
    let form = body(json!({"url": "http://v/", "content_type": "form", "body": "t={{ text }}&n={{ params.n }}"}), &submission);
    assert_eq!(form, "t=a%22b%5Cc%0A%26d%3De+%2B%25%C3%A9&n=3");
}

#[test]
fn a_parameter_that_the_body_needs_and_the_message_lacks_is_not_sent_empty() {
    let config = config(json!({"url": "http://v/", "body": r#"{"t": "{{ params.name }}"}"#})).unwrap();
    assert!(config.body.render(&submission("", None), &config.from).is_err());
}

#[test]
fn a_status_means_what_the_table_says() {
    let outcome = |status| read(json!({"url": "http://v/"}), status, "").0;
    for (statuses, meaning) in [
        (&[200, 201, 202, 204, 299][..], Outcome::Accepted),
        (&[401, 402, 403], Outcome::RejectedAccount),
        (&[429], Outcome::Throttled),
        (&[400, 404, 405, 409, 410, 422, 451], Outcome::RejectedContent),
        (&[502, 504], Outcome::Ambiguous),
        (&[300, 301, 302, 307, 308, 500, 501, 503, 505, 599], Outcome::Unavailable),
    ] {
        for status in statuses {
            assert_eq!(outcome(*status), meaning, "{status}");
        }
    }
    assert_eq!(read(json!({"url": "http://v/"}), 500, "").1.as_deref(), Some("http_500"));
}

#[test]
fn the_vendors_code_is_looked_up_before_the_status_and_kept_verbatim() {
    let settings = || {
        json!({"url": "http://v/", "message_id": "/id", "error_code": "/err/code",
               "errors": {"21211": "rejected_recipient", "OK": "accepted", "SLOW": "throttled", "http_400": "unavailable", "http_207": "ambiguous"}})
    };
    let code = |text: &str| Some(text.to_owned());
    assert_eq!(
        read(settings(), 200, r#"{"err": {"code": 21211}}"#),
        (Outcome::RejectedRecipient, code("21211"), None),
        "wins inside a 2xx"
    );
    assert_eq!(read(settings(), 400, r#"{"err": {"code": "SLOW"}}"#), (Outcome::Throttled, code("SLOW"), None));
    assert_eq!(read(settings(), 400, r#"{"err": {"code": "NEW"}}"#), (Outcome::Unavailable, code("NEW"), None), "then http_<status>");
    assert_eq!(read(settings(), 400, "{}"), (Outcome::Unavailable, code("http_400"), None));
    assert_eq!(read(settings(), 207, "{}"), (Outcome::Ambiguous, code("http_207"), None));
    assert_eq!(
        read(settings(), 422, r#"{"err": {"code": "NEW"}}"#),
        (Outcome::RejectedContent, code("NEW"), None),
        "then what the status means"
    );
    assert_eq!(read(settings(), 200, r#"{"err": {"code": "OK"}, "id": 7}"#), (Outcome::Accepted, None, code("7")));
    assert_eq!(read(settings(), 500, r#"{"err": {"code": "OK"}, "id": "m"}"#), (Outcome::Accepted, None, code("m")));
}

#[test]
fn an_acceptance_that_cannot_be_read_is_ambiguous() {
    let settings = || json!({"url": "http://v/", "message_id": "/id"});
    for answer in ["", "OK", "{\"id\": \"m", "<html>"] {
        assert_eq!(read(settings(), 200, answer), (Outcome::Ambiguous, Some("malformed".to_owned()), None), "{answer}");
    }
    assert_eq!(read(settings(), 200, "{}"), (Outcome::Accepted, None, None));
    assert_eq!(read(settings(), 400, "<html>").0, Outcome::RejectedContent, "a refusal needs no reading");
    assert_eq!(read(json!({"url": "http://v/"}), 200, "OK").0, Outcome::Accepted, "nothing is asked of it");
}

#[test]
fn listed_successes_are_the_only_ones() {
    let settings = || json!({"url": "http://v/", "success_status": [202, 409]});
    assert_eq!(read(settings(), 202, "").0, Outcome::Accepted);
    assert_eq!(read(settings(), 409, "").0, Outcome::Accepted);
    assert_eq!(read(settings(), 200, "").0, Outcome::Ambiguous);
    assert_eq!(read(settings(), 503, "").0, Outcome::Unavailable);
}

#[test]
fn everything_wrong_with_the_settings_is_told_at_once() {
    let told: Vec<_> = config(json!({
        "urll": "http://v/", "endpoint": "ftp://v", "method": "GET", "content_type": "xml", "headers": {"a b": "c", "d": 1},
        "body": "{\"to\": {{ to }}}", "success_status": [2], "message_id": "id", "errors": {"1": "rejected"},
        "receipt": {"statuss": "/s", "map": {"X": "delivred"}}
    }))
    .unwrap_err()
    .iter()
    .map(ToString::to_string)
    .collect();
    assert_eq!(
        told,
        [
            "settings.urll: unknown setting, did you mean url?",
            "settings.url: is required",
            "settings.endpoint: must be an address that begins with http:// or https://",
            "settings.content_type: must be one of json, form",
            "settings.method: must be one of POST, PUT, PATCH",
            "settings.body: does not make JSON: strings must stand in quotes",
            "settings.headers.d: must be a string",
            "settings.headers.a b: is not a header",
            "settings.success_status: must hold statuses from 200 to 599",
            "settings.message_id: must be a JSON pointer such as /data/id",
            "settings.errors.1: unknown word; known are accepted, rejected_recipient, rejected_content, rejected_account, throttled, unavailable, ambiguous",
            "settings.receipt.statuss: unknown setting, did you mean status?",
            "settings.receipt.map.X: unknown word, did you mean delivered?",
        ]
    );
}

#[test]
fn an_unknown_name_in_the_body_is_found_before_anything_is_sent() {
    let errors = config(json!({"url": "http://v/", "body": "{\"to\": \"{{ too }}\"}"})).unwrap_err();
    assert!(errors[0].problem.contains("known are id, to, text, from, signature and params"), "{}", errors[0]);
}

#[test]
fn endpoint_moves_scheme_host_and_port_only() {
    let moved = config(json!({"url": "https://api.vendor.example/v2/send?a=b", "endpoint": "http://127.0.0.1:9000"})).unwrap();
    assert_eq!(moved.url.as_str(), "http://127.0.0.1:9000/v2/send?a=b");
    let default_port = config(json!({"url": "https://api.vendor.example:8443/send", "endpoint": "http://proxy"})).unwrap();
    assert_eq!(default_port.url.as_str(), "http://proxy/send");
}

fn request(query: &str, content_type: Option<&'static str>, body: &str) -> ReceiptRequest {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    ReceiptRequest {
        method: Method::POST,
        address: "http://127.0.0.1:8080/v1/receipts/a".to_owned(),
        query: Redacted::new(query.to_owned()),
        headers,
        body: Redacted::new(Bytes::from(body.to_owned())),
    }
}

fn reported(request: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
    let settings = json!({"url": "http://v/", "receipt_token": "s3cret+&", "receipt": {
        "message_id": "/msg/id", "reference": "ref", "status": "/status", "error_code": "err", "map": {"DELIVRD": "delivered", "7": "undelivered"}}});
    config(settings).unwrap().receipt.read(request)
}

#[test]
fn receipts_are_read_from_json_a_form_or_the_query() {
    const JSON: Option<&str> = Some("application/json");
    let token = "token=s3cret%2B%26";
    let read = |request| {
        let receipts = reported(&request).unwrap();
        receipts.into_iter().map(|r| (r.provider_message_id, r.reference, r.status, r.vendor_status, r.error_code)).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        read(request(token, JSON, r#"{"msg": {"id": 12}, "status": "DELIVRD"}"#)),
        [(some("12"), None, ReceiptStatus::Delivered, "DELIVRD".to_owned(), None)]
    );
    assert_eq!(
        read(request(token, Some("application/x-www-form-urlencoded"), "ref=msg_1&status=7&err=E+1")),
        [(None, some("msg_1"), ReceiptStatus::Undelivered, "7".to_owned(), some("E 1"))]
    );
    assert_eq!(
        read(request(&format!("ref=msg_1&status=sent&{token}"), None, "")),
        [(None, some("msg_1"), ReceiptStatus::Submitted, "sent".to_owned(), None)]
    );
    assert_eq!(read(request(token, JSON, r#"[{"ref": "a", "status": "Delivered"}, {"ref": "b", "status": 7}]"#)).len(), 2, "a list");
}

#[test]
fn a_receipt_without_our_token_is_not_verified_and_one_without_sense_is_malformed() {
    let body = r#"{"ref": "a", "status": "DELIVRD"}"#;
    for query in ["", "token=", "token=s3cret", "token=S3CRET%2B%26", "x=s3cret%2B%26", "token=wrong&token=s3cret%2B%26"] {
        assert_eq!(reported(&request(query, None, body)), Err(ReceiptError::Unverified), "{query}");
    }
    for body in ["{", "{}", r#"{"status": "DELIVRD"}"#, r#"{"ref": "a"}"#, r#"[{"ref": "a"}]"#, "\u{0}"] {
        assert_eq!(reported(&request("token=s3cret%2B%26", None, body)), Err(ReceiptError::Malformed), "{body}");
    }
    let without_token = config(json!({"url": "http://v/"})).unwrap();
    assert_eq!(without_token.receipt.read(&request("token=", None, body)), Err(ReceiptError::Unverified), "nobody can prove anything");
}

#[tokio::test]
async fn the_trace_of_the_call_goes_to_the_vendor_if_there_is_one() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let vendor = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(wiremock::ResponseTemplate::new(200)).mount(&vendor).await;
    let provider = HttpProvider { config: config(json!({"url": vendor.uri()})).unwrap(), http: Http::new().unwrap() };
    provider.submit(&submission("Hello", None)).await.unwrap();
    provider.submit(&Submission { traceparent: Some(TRACE.to_owned()), ..submission("Hello", None) }).await.unwrap();
    let told: Vec<Option<String>> = vendor
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(told, [None, Some(TRACE.to_owned())]);
}
