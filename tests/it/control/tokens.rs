//! Tokens: exchanged, refreshed once, revoked everywhere; what nobody signed lets nobody in.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, header};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidings::control::{Control, auth};
use tokio_util::sync::CancellationToken;

use super::world::{KEY_ID, LIVE, Server, World};

async fn exchange(server: &Server) -> Value {
    exchange_for(server, KEY_ID, LIVE).await
}

pub async fn exchange_for(server: &Server, id: &str, secret: &str) -> Value {
    server.form("/v1/oauth/token", &[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)]).await.expect(200)
}

pub async fn refresh(server: &Server, token: &Value) -> super::world::Answer {
    server.form("/v1/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())]).await
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// As long as a revocation may take.
async fn within_five_seconds(what: &str, holds: impl AsyncFn() -> bool) {
    crate::patience::within(Duration::from_secs(5), what, holds).await;
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_that_does_what_the_key_does() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let tokens = exchange(&server).await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    server.get("/v1/messages", text(&tokens["access_token"])).await.expect(200);

    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{KEY_ID}:{LIVE}"));
    let request = Request::post("/v1/oauth/token")
        .header(header::AUTHORIZATION, format!("Basic {basic}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=messages:read".into());
    let narrow = server.send(request.unwrap()).await;
    assert_eq!(narrow.headers[header::CACHE_CONTROL], "no-store");
    let narrow = narrow.expect(200);
    assert_eq!(narrow["scope"], "messages:read");
    server.get("/v1/messages", text(&narrow["access_token"])).await.expect(200);
    server.post("/v1/messages", text(&narrow["access_token"]), json!({})).await.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn errors_are_those_of_the_rfc() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let credentials = [("client_id", KEY_ID), ("client_secret", LIVE)];
    for (fields, status, error) in [
        (vec![("grant_type", "client_credentials")], 401, "invalid_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", KEY_ID), ("client_secret", "tk_live_wrong")], 401, "invalid_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", "somebody"), ("client_secret", LIVE)], 401, "invalid_client"),
        (vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (vec![], 400, "invalid_request"),
        (vec![("grant_type", "refresh_token")], 400, "invalid_request"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "tr_forged")], 400, "invalid_grant"),
        ([vec![("grant_type", "client_credentials"), ("scope", "everything")], credentials.to_vec()].concat(), 400, "invalid_scope"),
        (vec![("grant_type", "password"), ("grant_type", "refresh_token")], 400, "invalid_request"),
    ] {
        let answer = server.form("/v1/oauth/token", &fields).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].as_str()), (status, Some(error)), "{fields:?}");
        assert!(answer.body["error_description"].is_string());
        assert_eq!(answer.headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
    }
}

#[tokio::test]
async fn a_used_refresh_token_ends_its_family() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let first = exchange(&server).await;
    let second = refresh(&server, &first["refresh_token"]).await.expect(200);
    let third = refresh(&server, &second["refresh_token"]).await.expect(200);
    server.get("/v1/messages", text(&first["access_token"])).await.expect(200);

    let stolen = refresh(&server, &second["refresh_token"]).await;
    assert_eq!((stolen.status.as_u16(), &stolen.body["error"]), (400, &json!("invalid_grant")));
    let honest = refresh(&server, &third["refresh_token"]).await;
    assert_eq!(honest.body["error"], "invalid_grant", "the family went on after a used token came again");
    for tokens in [&first, &second, &third] {
        server.get("/v1/messages", text(&tokens["access_token"])).await.refused(401, "unauthorized");
    }
    // Another family of the same key is none of its business.
    let other = exchange(&server).await;
    server.get("/v1/messages", text(&other["access_token"])).await.expect(200);
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_than_was_granted_and_not_for_more() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let fields = [("grant_type", "client_credentials"), ("client_id", KEY_ID), ("client_secret", LIVE)];
    let first =
        server.form("/v1/oauth/token", &[fields.as_slice(), &[("scope", "messages:read messages:send")]].concat()).await.expect(200);
    let again = async |token: &Value, scope| {
        server.form("/v1/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", text(token)), ("scope", scope)]).await
    };
    for beyond in ["templates:write", "messages:read templates:write", "everything"] {
        let refused = again(&first["refresh_token"], beyond).await;
        assert_eq!((refused.status.as_u16(), &refused.body["error"]), (400, &json!("invalid_scope")), "{beyond}");
    }
    let narrow = again(&first["refresh_token"], "messages:read").await;
    assert_eq!(
        (&narrow.headers[header::CACHE_CONTROL], &narrow.headers[header::PRAGMA]),
        (&"no-store".parse().unwrap(), &"no-cache".parse().unwrap())
    );
    let narrow = narrow.expect(200);
    assert_eq!(narrow["scope"], "messages:read");
    server.post("/v1/messages", text(&narrow["access_token"]), json!({})).await.refused(403, "insufficient_scope");
    let whole = refresh(&server, &narrow["refresh_token"]).await.expect(200);
    assert_eq!(whole["scope"], "messages:send messages:read", "a narrow access token narrowed what was granted");
}

#[tokio::test]
async fn two_refreshes_at_once_are_a_reuse() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let first = exchange(&server).await;
    let (one, two) = tokio::join!(refresh(&server, &first["refresh_token"]), refresh(&server, &first["refresh_token"]));
    let good = [one.status, two.status].iter().filter(|status| status.as_u16() == 200).count();
    assert_eq!(good, 1, "{one:?} {two:?}");
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let tokens = exchange(&server).await;
    let revoke = [("token", text(&tokens["refresh_token"]))];
    assert_eq!(server.form("/v1/oauth/revoke", &revoke).await.body["error"], "invalid_client", "anybody may revoke a key's tokens");
    let revoke = [revoke[0], ("client_id", KEY_ID), ("client_secret", LIVE)];
    server.form("/v1/oauth/revoke", &revoke).await.expect(200);
    server.form("/v1/oauth/revoke", &revoke).await.expect(200);
    server.form("/v1/oauth/revoke", &[("token", "of nobody")]).await.expect(200);
    server.get("/v1/messages", text(&tokens["access_token"])).await.refused(401, "unauthorized");
    assert_eq!(refresh(&server, &tokens["refresh_token"]).await.body["error"], "invalid_grant");
}

#[tokio::test]
async fn telling_who_calls_asks_no_store() {
    let world = World::new();
    world.ready().await;
    let store = super::cut::Cut::around(world.store().await);
    let control = world.node_on(store.clone(), "counted").await;
    let server = world.server(&control).await;
    let (tokens, session) = (exchange(&server).await, server.session("root").await);
    let before = store.asked();
    for _ in 0..1_000 {
        for token in [LIVE, text(&tokens["access_token"]), &session] {
            assert!(control.authenticate(token).await.is_ok());
        }
    }
    assert_eq!(store.asked(), before, "3,000 callers were told without asking the store");
    assert!(before > 0, "the counter counts");
    // Somebody unknown makes the node look for news, a few times a second at most.
    for _ in 0..1_000 {
        assert!(control.authenticate("tk_live_unknown0123456789abcdef0123456789").await.is_err());
    }
    assert!(store.asked() - before < 100, "{} look-ups for 1,000 unknown callers", store.asked() - before);
}

#[tokio::test]
async fn revocations_reach_a_second_node_within_five_seconds() {
    let world = World::new();
    let (_first, here) = world.open().await;
    let second = world.node("second").await;
    let there = world.server(&second).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (second, stop) = (Arc::clone(&second), stop.clone());
        async move { second.run(stop).await }
    });

    // What was made here is good there at once: an unknown token makes the node look.
    let root = here.session("root").await;
    there.get("/v1/admin/users", &root).await.expect(200);
    let made = here.post("/v1/admin/apps/shop/keys", &root, json!({"name": "n", "scopes": ["messages:read"]})).await.expect(201);
    let token = here
        .form(
            "/v1/oauth/token",
            &[("grant_type", "client_credentials"), ("client_id", text(&made["id"])), ("client_secret", text(&made["secret"]))],
        )
        .await
        .expect(200);
    within_five_seconds("the new key", async || there.get("/v1/messages", text(&made["secret"])).await.status == 200).await;
    within_five_seconds("its token", async || there.get("/v1/messages", text(&token["access_token"])).await.status == 200).await;

    let path = format!("/v1/admin/apps/shop/keys/{}", text(&made["id"]));
    here.call(Method::DELETE, &path, Some(&root), None).await.expect(204);
    within_five_seconds("the revoked key", async || there.get("/v1/messages", text(&made["secret"])).await.status == 401).await;
    within_five_seconds("its token", async || there.get("/v1/messages", text(&token["access_token"])).await.status == 401).await;

    here.call(Method::DELETE, "/v1/admin/session", Some(&root), None).await.expect(204);
    within_five_seconds("the log-out", async || there.get("/v1/admin/users", &root).await.status == 401).await;
    stop.cancel();
    running.await.unwrap();
}

async fn verifier() -> (World, Arc<Control>) {
    let world = World::new();
    let control = world.ready().await;
    (world, control)
}

#[test]
fn no_form_makes_the_token_endpoint_fail_or_give_anything_away() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, control) = runtime.block_on(verifier());
    let server = runtime.block_on(world.server(&control));
    let genuine = text(&runtime.block_on(exchange(&server))["refresh_token"]).to_owned();
    let good = genuine.clone();
    let mutated = (0..genuine.len(), "[A-Za-z0-9_-]")
        .prop_map(move |(at, with)| format!("{}{with}{}", &genuine[..at], &genuine[at + 1..]))
        .prop_filter("nothing was changed", move |token| *token != good);
    let value = prop_oneof![mutated, "tr_[A-Za-z0-9_-]{0,60}", "[A-Za-z0-9_%+-]{0,40}", Just(KEY_ID.to_owned())];
    let name = prop_oneof![Just("refresh_token"), Just("token"), Just("client_id"), Just("client_secret"), Just("scope"), Just("x")];
    let grant = prop_oneof![Just("refresh_token"), Just("client_credentials"), Just("password")];
    let basic = proptest::option::of("(Basic|Bearer|basic) [A-Za-z0-9+/=]{0,40}");
    let request = (grant, proptest::collection::vec((name, value), 0..4), basic);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(500));
    runner
        .run(&request, |(grant, fields, basic)| {
            for path in ["/v1/oauth/token", "/v1/oauth/revoke"] {
                let form = fields.iter().map(|(name, value)| format!("&{name}={value}")).collect::<String>();
                let mut asked = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                if let Some(basic) = &basic {
                    asked = asked.header(header::AUTHORIZATION, basic);
                }
                let answer = runtime.block_on(server.send(asked.body(format!("grant_type={grant}{form}").into()).unwrap()));
                // To revoke what is nobody's is well (RFC 7009, 2.2).
                let well = path == "/v1/oauth/revoke" && answer.status == 200;
                prop_assert!(well || [400, 401].contains(&answer.status.as_u16()), "{path}: {} {}", answer.status, answer.body);
                prop_assert!(well || answer.body["error"].is_string());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_text_makes_the_token_parser_panic_or_lets_anybody_in() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, control) = runtime.block_on(verifier());
    let server = runtime.block_on(world.server(&control));
    let genuine = runtime.block_on(exchange(&server))["access_token"].as_str().unwrap().to_owned();
    let now = world.clock.now();
    let snapshot = control.snapshot();
    assert!(auth::verify(&snapshot, &genuine, now).is_ok());
    assert!(auth::verify(&snapshot, &genuine, now + Duration::from_secs(901)).is_err());

    let mutated = (0..genuine.len(), any::<u8>()).prop_map({
        let genuine = genuine.clone();
        move |(at, byte)| {
            let mut bytes = genuine.clone().into_bytes();
            bytes[at] = byte;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    });
    let jwt = ("[A-Za-z0-9_-]{0,80}", "[A-Za-z0-9_-]{0,80}", "[A-Za-z0-9_-]{0,80}").prop_map(|(a, b, c)| format!("{a}.{b}.{c}"));
    let key = "tk_(live|test)_[A-Za-z0-9_-]{0,80}";
    let texts = prop_oneof![mutated, jwt, key, "\\PC{0,200}", "tr_[A-Za-z0-9_-]{0,60}"];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2_000));
    runner
        .run(&texts, |text| {
            if auth::verify(&snapshot, &text, now).is_ok() {
                prop_assert_eq!(&text, &genuine);
            }
            Ok(())
        })
        .unwrap();
}
