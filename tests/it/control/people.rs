//! People: log-ins that tell nothing, throttled; sessions that end; always an admin left; the way back in.

use http::{Method, Request, header};
use serde_json::{Value, json};
use tidings::control::model::Role;
use tidings_core::redact::Secret;

use super::world::{Answer, PASSWORD, Server, World};

async fn try_log_in(server: &Server, name: &str, password: &str, address: [u8; 4]) -> Answer {
    let body = json!({"name": name, "password": password}).to_string();
    let request = Request::post("/v1/admin/session").header(header::CONTENT_TYPE, "application/json").body(body.into());
    server.send_from(request.unwrap(), address).await
}

#[tokio::test]
async fn an_unknown_name_costs_the_same_one_computation() {
    let world = World::new();
    let (control, server) = world.open().await;
    let mut bodies = Vec::new();
    for (name, password) in [("root", "wrong password"), ("nobody", "wrong password"), ("nobody", PASSWORD)] {
        let before = control.password_computations();
        let mut body = try_log_in(&server, name, password, [192, 0, 2, 9]).await.refused(401, "unauthorized");
        assert_eq!(control.password_computations(), before + 1, "{name}");
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let before = control.password_computations();
    try_log_in(&server, "root", PASSWORD, [192, 0, 2, 10]).await.expect(200);
    assert_eq!(control.password_computations(), before + 1);
}

#[tokio::test]
async fn the_sixth_wrong_password_closes_the_door_for_the_right_one_too() {
    let world = World::new();
    let (_control, server) = world.open().await;
    for n in 0..5 {
        try_log_in(&server, "root", "wrong password", [192, 0, 2, n]).await.refused(401, "unauthorized");
    }
    // By name, from wherever.
    let answer = try_log_in(&server, "root", PASSWORD, [198, 51, 100, 1]).await;
    let wait: u64 = answer.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(answer.refused(429, "rate_limited")["limit"], "login");
    // By address, for whomever.
    for n in 0..5 {
        try_log_in(&server, &format!("guess{n}"), "wrong password", [203, 0, 113, 1]).await.refused(401, "unauthorized");
    }
    try_log_in(&server, "anna", PASSWORD, [203, 0, 113, 1]).await.refused(429, "rate_limited");
    try_log_in(&server, "anna", PASSWORD, [203, 0, 113, 2]).await.expect(200);
}

#[tokio::test]
async fn a_new_password_and_being_disabled_end_every_session() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let root = server.session("root").await;
    let otto = server.log_in("otto").await;
    let token = otto["access_token"].as_str().unwrap();
    assert_eq!(otto["role"], "operator");
    server.get("/v1/admin/apps", token).await.expect(200);
    let users = server.get("/v1/admin/users", &root).await.expect(200);
    let id = users["data"].as_array().unwrap().iter().find(|user| user["name"] == "otto").unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/admin/users/{id}");
    let patch = async |body: Value| server.call(Method::PATCH, &path, Some(&root), Some(body)).await;

    patch(json!({"password": "another password"})).await.expect(200);
    server.get("/v1/admin/apps", token).await.refused(401, "unauthorized");
    let refreshed = server
        .form("/v1/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", otto["refresh_token"].as_str().unwrap())])
        .await;
    assert_eq!(refreshed.body["error"], "invalid_grant");

    let session = try_log_in(&server, "otto", "another password", [192, 0, 2, 7]).await.expect(200);
    patch(json!({"role": "viewer"})).await.expect(200);
    let token = session["access_token"].as_str().unwrap();
    server.post("/v1/admin/suppressions", token, json!({})).await.refused(403, "role_required");
    patch(json!({"disabled": true})).await.expect(200);
    server.get("/v1/admin/apps", token).await.refused(401, "unauthorized");
    try_log_in(&server, "otto", "another password", [192, 0, 2, 8]).await.refused(401, "unauthorized");
    patch(json!({"disabled": "yes", "rolle": "admin"})).await.refused(422, "invalid");
}

#[tokio::test]
async fn a_session_is_refreshed_like_any_token() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let session = server.log_in("vera").await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", session["refresh_token"].as_str().unwrap())];
    let next = server.form("/v1/oauth/token", &fields).await.expect(200);
    server.get("/v1/admin/apps", next["access_token"].as_str().unwrap()).await.expect(200);
}

#[tokio::test]
async fn there_is_always_an_admin_left_and_a_way_back_in() {
    let world = World::new();
    let (control, server) = world.open().await;
    let root = server.session("root").await;
    for body in [json!({"role": "viewer"}), json!({"disabled": true})] {
        let refused = server.call(Method::PATCH, "/v1/admin/users/root", Some(&root), Some(body)).await.refused(422, "invalid");
        assert_eq!(refused["errors"][0]["code"], "conflict");
    }
    let made = json!({"name": "second", "role": "admin", "password": "long enough"});
    server.post("/v1/admin/users", &root, made.clone()).await.expect(201);
    server.post("/v1/admin/users", &root, made).await.refused(409, "already_exists");
    server.call(Method::PATCH, "/v1/admin/users/root", Some(&root), Some(json!({"disabled": true}))).await.expect(200);

    let rescued = control.rescue_user("root", Some(Role::Admin), &Secret::new("yet another one".into())).await.unwrap();
    assert!(!rescued.disabled);
    try_log_in(&server, "root", "yet another one", [192, 0, 2, 20]).await.expect(200);
}

#[tokio::test]
async fn wrong_passwords_on_all_nodes_are_counted_together() {
    let world = World::new();
    world.ready().await;
    let shared = std::sync::Arc::new(tidings::shared::Local::new(world.clock));
    let mut servers = Vec::new();
    for name in ["one", "two", "three"] {
        let node = world.node_sharing(world.store().await, name, shared.clone()).await;
        servers.push(world.server(&node).await);
    }
    // Five wrong ones, on three nodes, each from another address.
    for (number, address) in (0..5_u8).map(|number| (number, [192, 0, 2, 20 + number])) {
        try_log_in(&servers[usize::from(number) % 3], "root", "wrong password", address).await.refused(401, "unauthorized");
    }
    let closed = try_log_in(&servers[2], "root", PASSWORD, [192, 0, 2, 40]).await;
    let left: u64 = closed.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&left), "{left}");
    assert_eq!(closed.refused(429, "rate_limited")["limit"], "login");
    // By address too, and nobody else is kept out.
    for number in 0..5 {
        try_log_in(&servers[number % 3], &format!("nobody-{number}"), "wrong password", [192, 0, 2, 50]).await.refused(401, "unauthorized");
    }
    try_log_in(&servers[0], "anna", PASSWORD, [192, 0, 2, 50]).await.refused(429, "rate_limited");
    for _ in 0..10 {
        try_log_in(&servers[0], "anna", PASSWORD, [192, 0, 2, 51]).await.expect(200);
    }
}
