//! A routing revision at work: tried with some recipients, raised, rolled back; every attempt says which one it went by.

use std::time::Duration;

use serde_json::json;
use tidings::control::{
    Actor,
    model::{ActorId, Decision},
    snapshot::bucket,
};
use tidings_core::message::Status;

use crate::{
    harness::{App, LIVE},
    patience::within,
};

const RECIPIENTS: u32 = 60;
const OFF_PROVIDER: &str = "of-revision-2";

/// Where a message to each of some recipients went, and by which revision.
async fn send_to_all(app: &App) -> Vec<(String, String, u32)> {
    let mut sent = Vec::new();
    for number in 0..RECIPIENTS {
        let to = format!("+861380013{number:04}");
        let body = json!({"to": to, "template": "login-code", "params": {"code": "482913"}});
        sent.push((to, app.send(LIVE, &body).await));
    }
    let mut went = Vec::new();
    for (to, id) in sent {
        let record = async || app.node.messages.get(id.parse().unwrap()).await.unwrap().unwrap();
        let delivered = async || record().await.status == Status::Delivered;
        within(Duration::from_secs(20), "its delivery", delivered).await;
        let attempt = record().await.attempts.remove(0).opened;
        went.push((to, attempt.provider, attempt.revision));
    }
    went
}

/// How many went by the second revision; each as its recipient's hash says.
fn shares(went: &[(String, String, u32)], percent: u32) -> usize {
    for (to, provider, revision) in went {
        let tried = u32::from(bucket(to)) < percent;
        assert_eq!((*revision == 2, provider == OFF_PROVIDER), (tried, tried), "{to} at {percent} %");
    }
    went.iter().filter(|(_, _, revision)| *revision == 2).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_tried_with_some_recipients_raised_and_rolled_back() {
    let app = App::start().await;
    let control = &app.node.control;
    let approver: ActorId = serde_json::from_value(json!("anna")).unwrap();
    let (author, approver) = (Actor::own(ActorId::command()), Actor::own(approver));
    let document = json!({"providers": [{"name": OFF_PROVIDER, "kind": "simulated", "channel": "sms"}], "routes": []});
    control.create_revision(&author, document.as_object().unwrap()).await.unwrap();
    let request = control.submit_revision(&author, 2).await.unwrap();
    control.decide(&approver, request.id, Decision::Approve { comment: None }).await.unwrap();
    let mut tried = Vec::new();
    for (number, percent, expected) in [(2, 30, 30), (2, 80, 80), (2, 100, 100), (1, 100, 0)] {
        let body = json!({"percent": percent});
        control.activate_revision(&approver, number, body.as_object().unwrap()).await.unwrap();
        // The desks follow the snapshot within a moment.
        let wanted = |bucket: u8| if u32::from(bucket) < expected { 2 } else { 1 };
        let followed = async || (0..100).all(|bucket| app.node.desks.for_bucket(bucket).revision == wanted(bucket));
        within(Duration::from_secs(5), "the desks' turn", followed).await;
        tried.push(shares(&send_to_all(&app).await, expected));
    }
    assert!(tried[0] > 0 && tried[0] < tried[1] && tried[1] < tried[2], "{tried:?}");
    assert_eq!((tried[2], tried[3]), (RECIPIENTS as usize, 0));
    app.stop().await;
}
