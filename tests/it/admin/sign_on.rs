//! Single sign-on as people meet it: a button, another site, and back to the page that they wanted.

use serde_json::json;

use super::{
    browser::{Browser, Light, Screen},
    world::World,
};
use crate::{
    control::identity_provider::{IdentityProvider, Twist},
    patience::eventually,
};

const BY_SIGN_ON: &str = ".login a.button";

async fn come_by_sign_on(browser: &Browser, page: &str) {
    browser.goto(page).await;
    assert_eq!(browser.path().await, "/admin/login");
    browser.click(BY_SIGN_ON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_by_the_identity_provider_to_the_page_that_they_wanted_and_leave_again() {
    let provider = IdentityProvider::start().await;
    provider.person(json!({"sub": "4711", "preferred_username": "ada", "groups": []}));
    let world = World::start_with(&provider.settings("admins = [\"bosses\"]\ndefault_role = \"viewer\"")).await;
    let Some(browser) = Browser::open(&world, Screen::Desk, Light::Day, true).await else { return };
    come_by_sign_on(&browser, "/admin/providers").await;
    eventually(async || browser.path().await == "/admin/providers").await;
    let me = browser.text(".me").await;
    assert!(me.contains("ada") && me.contains("viewer"), "{me}");
    assert!(!browser.text(".sections").await.contains("Users"), "a viewer is offered what only admins may do");
    browser.screenshot("sign-on-viewer").await;
    browser.click(".me button").await;
    eventually(async || browser.path().await == "/admin/login").await;

    // The next log-in goes by what the provider says then.
    provider.person(json!({"sub": "4711", "preferred_username": "ada", "groups": ["bosses"]}));
    come_by_sign_on(&browser, "/admin/users").await;
    eventually(async || browser.path().await == "/admin/users").await;
    let users = browser.text("tbody").await;
    assert!(users.contains("ada"), "{users}");
    browser.screenshot("sign-on-admin").await;
    browser.click(".me button").await;
    eventually(async || browser.path().await == "/admin/login").await;

    // Whoever is refused reads what to do, and the password still leads in.
    provider.twist(Twist::Expired);
    come_by_sign_on(&browser, "/admin/users").await;
    eventually(async || browser.path().await == "/admin/sso/callback").await;
    let refused = browser.text("main").await;
    assert!(refused.to_lowercase().contains("log in"), "{refused}");
    browser.screenshot("sign-on-refused").await;
    browser.log_in("lin").await;
    assert!(browser.text(".me").await.contains("lin"));
    browser.close().await.unwrap();
    world.stop().await;
}
