//! A suspended app's queued messages: they stay, nothing of them leaves, and they go on when the app is allowed again.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tidings::{
    control::{
        Actor,
        model::{ActorId, Decision},
    },
    store::Record,
};

use crate::{
    harness::{App, LIVE},
    patience::{eventually, within},
};

async fn record(app: &App, id: &str) -> Record {
    app.node.messages.get(id.parse().unwrap()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_apps_queued_messages_stay_and_go_on_when_it_is_allowed_again() {
    let app = App::start().await;
    let control = Arc::clone(&app.node.control);
    let (otto, anna) = (Actor::own(ActorId::command()), Actor::own(ActorId::bootstrap()));
    let send_at = app.node.clock.now() + Duration::from_secs(3);
    let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}, "send_at": send_at.to_string()});
    let queued = app.send(LIVE, &body).await;
    let shop = control.snapshot().app_named("shop").unwrap().id;
    control.change_app(&otto, shop, json!({"suspended": true}).as_object().unwrap()).await.unwrap();
    let now = json!({"to": "+8613800138000", "text": "Hello"});
    assert_eq!(app.post(LIVE, "/v1/messages", &now).await.verdict(), (403, "app_suspended".to_owned()));

    // A worker looked at it when it was due, and put it off.
    eventually(async || record(&app, &queued).await.due_at.is_some_and(|due| due > send_at)).await;
    let seen = record(&app, &queued).await;
    assert!(seen.attempts.is_empty() && seen.status.is_open(), "{:?}", seen.status);

    control.change_app(&otto, shop, json!({"suspended": false}).as_object().unwrap()).await.unwrap();
    let asked = control.snapshot().approvals().find(|request| request.app == Some(shop)).unwrap().id;
    control.decide(&anna, asked, Decision::Approve { comment: None }).await.unwrap();
    // A worker looks every ten seconds whether it may go on.
    let delivered = async || record(&app, &queued).await.status == tidings_core::message::Status::Delivered;
    within(Duration::from_secs(30), "its delivery", delivered).await;
    app.stop().await;
}
