//! Asking, discussing and deciding in the pages: two people at two browsers, and nobody decides their own.

use serde_json::json;
use tidings::control::{Actor, model::ActorId};

use super::{
    browser::{Browser, Light, Screen},
    world::{PASSWORD, World},
};
use crate::patience::eventually;

async fn ask_for_an_app(browser: &Browser, name: &str) -> String {
    browser.goto("/admin/apps").await;
    browser.fill("name", name).await;
    browser.click("form[action='/admin/apps'] .primary").await;
    eventually(async || browser.path().await.starts_with("/admin/requests/")).await;
    browser.path().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_another_reads_what_would_change_answers_and_decides() {
    let world = World::start().await;
    let control = &world.node().control;
    let ben = json!({"name": "ben", "role": "approver", "password": PASSWORD});
    control.create_user(&Actor::own(ActorId::command()), ben.as_object().unwrap()).await.unwrap();
    let Some(asks) = Browser::open(&world, Screen::Desk, Light::Day, true).await else { return };
    let decides = Browser::open(&world, Screen::Desk, Light::Day, true).await.unwrap();
    asks.log_in("ben").await;
    decides.log_in("root").await;

    let request = ask_for_an_app(&asks, "newsletter").await;
    let own = asks.text("main").await;
    assert!(own.contains("This is your own request") && !own.contains("Approve"), "{own}");
    asks.fill("comment", "For the autumn campaign").await;
    asks.click("button[value=comment]").await;
    asks.shows("#discussion", "For the autumn campaign").await;

    decides.goto("/admin/requests").await;
    decides.click("tbody tr a").await;
    eventually(async || decides.path().await == request).await;
    let seen = decides.text("main").await;
    assert!(seen.contains("newsletter") && seen.contains("What would change") && seen.contains("For the autumn campaign"), "{seen}");
    decides.click("button[value=reject]").await;
    decides.shows("main", "Say what has to change").await;
    decides.fill("comment", "Welcome").await;
    decides.screenshot("approval-decide").await;
    decides.click("button[value=approve]").await;
    decides.shows(".notice", "approved and in force").await;
    assert!(control.snapshot().app_named("newsletter").is_some());
    asks.goto(&request).await;
    let told = asks.text("main").await;
    assert!(told.contains("approved by root") && told.contains("Welcome"), "{told}");

    let request = ask_for_an_app(&asks, "another").await;
    asks.click("button[value=withdraw]").await;
    asks.shows(".notice", "taken back").await;
    decides.goto(&request).await;
    assert!(!decides.text("main").await.contains("Approve"), "what was taken back can be approved");
    assert!(control.snapshot().app_named("another").is_none());
    for browser in [asks, decides] {
        browser.close().await.unwrap();
    }
    world.stop().await;
}
