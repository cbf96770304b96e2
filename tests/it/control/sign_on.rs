//! Single sign-on: who comes back from the provider is let in by exactly what the provider vouches for.

use axum::body::Body;
use http::{Request, header};
use serde_json::json;
use tidings::control::{
    Actor,
    model::{ActorId, Role},
};

use super::identity_provider::{IdentityProvider, Twist};
use crate::harness::{Answer, App};

/// A browser: its cookies, and nothing else.
#[derive(Clone, Default)]
struct Browser(Vec<(String, String)>);

impl Browser {
    async fn get(&mut self, app: &App, path: &str) -> Answer {
        let cookies = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let answer = app.ask(Request::get(path).header(header::COOKIE, cookies).body(Body::empty()).unwrap()).await;
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.0.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// To the provider and to the door again: where the provider sends the browser.
    async fn depart(&mut self, app: &App) -> String {
        let away = self.get(app, "/admin/sso?next=%2Fadmin%2Fproviders").await;
        assert_eq!(away.status, 303, "{}", String::from_utf8_lossy(&away.bytes));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let back = client.get(away.header("location").unwrap()).send().await.unwrap();
        let address = back.headers()["location"].to_str().unwrap().to_owned();
        address.strip_prefix("http://127.0.0.1:8080").expect("the provider sends the browser to the public address").to_owned()
    }

    async fn sign_on(&mut self, app: &App) -> Answer {
        let back = self.depart(app).await;
        self.get(app, &back).await
    }

    async fn is_in(&mut self, app: &App) -> bool {
        self.get(app, "/admin").await.status == 200
    }
}

fn ada(groups: &[&str]) -> serde_json::Value {
    json!({"sub": "4711", "preferred_username": "ada", "groups": groups})
}

async fn world(more: &str) -> (IdentityProvider, App) {
    let provider = IdentityProvider::start().await;
    let app = App::start_with(&provider.settings(more)).await;
    provider.person(ada(&[]));
    (provider, app)
}

fn role_of(app: &App, name: &str) -> Option<Role> {
    app.node.control.snapshot().user_named(name).map(|user| user.role)
}

const MAPPED: &str = "admins = [\"bosses\"]\napprovers = [\"checkers\"]\ndefault_role = \"viewer\"";

#[tokio::test(flavor = "multi_thread")]
async fn somebody_unknown_comes_in_as_what_the_claim_says_and_lands_where_they_wanted_to_go() {
    let (provider, app) = world(MAPPED).await;
    let mut browser = Browser::default();
    let page = browser.get(&app, "/admin/login").await;
    assert!(String::from_utf8_lossy(&page.bytes).contains("href=\"/admin/sso?next="), "the log-in page has no button");
    let arrived = browser.sign_on(&app).await;
    assert_eq!((arrived.status.as_u16(), arrived.header("location")), (303, Some("/admin/providers")));
    assert!(browser.is_in(&app).await);
    assert_eq!(role_of(&app, "ada"), Some(Role::Viewer));
    assert!(browser.0.iter().all(|(name, _)| name != "tidings_sso"), "what travelled is left in the browser");

    // The claim decides again with every log-in, upwards and downwards; it is the same person by whatever name.
    for (groups, role) in [(vec!["checkers", "bosses"], Role::Admin), (vec!["checkers"], Role::Approver), (vec![], Role::Viewer)] {
        let mut claims = ada(&groups);
        claims["preferred_username"] = json!("ada.lovelace");
        provider.person(claims);
        assert_eq!(Browser::default().sign_on(&app).await.status, 303);
        assert_eq!((role_of(&app, "ada"), role_of(&app, "ada.lovelace")), (Some(role), None));
    }
    let log = app.node.control.audit_log(&tidings::control::audit::Filter::default(), None, 200).await.unwrap();
    let actions: Vec<&str> = log.iter().map(|(_, entry)| entry.action.as_str()).collect();
    for action in ["user.created", "user.changed", "session.created"] {
        assert!(actions.contains(&action), "{action} is not in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_with_anything_wrong_lets_nobody_in() {
    let (provider, app) = world(MAPPED).await;
    for twist in [
        Twist::OtherNonce,
        Twist::NoNonce,
        Twist::OtherAudience,
        Twist::SharedAudience,
        Twist::OtherParty,
        Twist::OtherIssuer,
        Twist::Expired,
        Twist::FromTheFuture,
        Twist::Old,
        Twist::ForgedSignature,
        Twist::UnknownKey,
        Twist::Hmac,
        Twist::Unsigned,
        Twist::NoToken,
    ] {
        provider.twist(twist);
        let mut browser = Browser::default();
        let refused = browser.sign_on(&app).await;
        assert_eq!(refused.status, 401, "{twist:?}");
        assert!(!browser.is_in(&app).await, "{twist:?}");
        assert_eq!(role_of(&app, "ada"), None, "{twist:?} made a person");
    }
    provider.twist(Twist::Nothing);
    assert_eq!(Browser::default().sign_on(&app).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_belongs_to_another_browser_or_log_in_lets_nobody_in() {
    let (_provider, app) = world(MAPPED).await;
    let (mut mine, mut theirs) = (Browser::default(), Browser::default());
    let (my_way, their_way) = (mine.depart(&app).await, theirs.depart(&app).await);
    // Somebody sends their own answer to me, so that I would work in their name; or it comes without a cookie.
    for (mut browser, path) in [
        (mine.clone(), their_way.clone()),
        (Browser::default(), my_way.clone()),
        (mine.clone(), my_way.replace("state=", "state=x")),
        (mine.clone(), my_way.split("&state=").next().unwrap().to_owned()),
        (mine.clone(), format!("/admin/sso/callback?error=access_denied&state={}", my_way.split("state=").nth(1).unwrap())),
        (mine.clone(), "/admin/sso/callback".to_owned()),
    ] {
        let refused = browser.get(&app, &path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(!browser.is_in(&app).await, "{path}");
    }
    let again = mine.clone();
    assert_eq!(mine.get(&app, &my_way).await.status, 303);
    let mut again = again;
    assert_eq!(again.get(&app, &my_way).await.status, 401, "a code is good once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_a_taken_name_or_a_shut_door_stays_outside() {
    let (provider, app) = world("operators = [\"ops\"]").await;
    assert_eq!(Browser::default().sign_on(&app).await.status, 401, "no claim gives a role");
    assert_eq!(role_of(&app, "ada"), None);

    let control = &app.node.control;
    let actor = Actor::own(ActorId::command());
    let local = json!({"name": "grace", "role": "admin", "password": "correct horse"});
    control.create_user(&actor, local.as_object().unwrap()).await.unwrap();
    provider.person(json!({"sub": "4712", "preferred_username": "grace", "groups": ["ops"]}));
    assert_eq!(Browser::default().sign_on(&app).await.status, 401, "a name that somebody with a password has is not taken over");
    assert_eq!(role_of(&app, "grace"), Some(Role::Admin));

    provider.person(ada(&["ops"]));
    let mut browser = Browser::default();
    assert_eq!(browser.sign_on(&app).await.status, 303);
    let id = control.snapshot().user_named("ada").unwrap().id;
    control.change_user(&actor, id, json!({"disabled": true}).as_object().unwrap()).await.unwrap();
    assert!(!browser.is_in(&app).await, "the session goes on");
    assert_eq!(Browser::default().sign_on(&app).await.status, 401, "disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_no_button_and_no_way() {
    let app = App::start().await;
    let mut browser = Browser::default();
    let page = browser.get(&app, "/admin/login").await;
    assert!(!String::from_utf8_lossy(&page.bytes).contains("/admin/sso"));
    assert_eq!(browser.get(&app, "/admin/sso").await.status, 404);
    assert_eq!(browser.get(&app, "/admin/sso/callback?code=a&state=b").await.status, 404);
    // One that is away says so, and the password still works.
    let away = App::start_with("[oidc]\nissuer = \"http://127.0.0.1:1\"\n").await;
    let told = Browser::default().get(&away, "/admin/sso").await;
    assert_eq!(told.status, 502);
    assert!(String::from_utf8_lossy(&told.bytes).contains("log in with a password"));
}
