//! The bootstrap file: complete, said all at once where it is wrong, applied once and never over what people changed.

use tidings::control::{Applied, Bootstrap, audit::Filter, auth, auth::Principal, model::SettingValue, routing};
use tidings_core::message::Channel;

use super::world::{FILE, LIVE, TEST, World};

#[tokio::test]
async fn what_the_file_names_can_send_at_once() {
    let world = World::new();
    let control = world.ready().await;
    let snapshot = control.snapshot();
    let now = world.clock.now();

    let Ok(Principal::Machine(machine)) = auth::verify(&snapshot, LIVE, now) else { panic!("the live key is not known") };
    assert_eq!((machine.app.name.as_str(), machine.is_test()), ("shop", false));
    let Ok(Principal::Machine(test)) = auth::verify(&snapshot, TEST, now) else { panic!("the test key is not known") };
    assert!(test.is_test());
    assert!(auth::verify(&snapshot, "tk_live_0123456789abcdef0123456789abcdeX", now).is_err());

    let sendable = snapshot.sendable(machine.app.id, "login-code", None).unwrap();
    assert_eq!((sendable.version.version, sendable.version.text.as_str()), (1, "Your code is {{ code }}."));
    let german = snapshot.sendable(machine.app.id, "login-code", Some("de")).unwrap();
    assert_eq!(german.version.version, 2);
    assert!(snapshot.sendable(machine.app.id, "login-code@3", None).is_err());
    assert!(snapshot.may_sign(machine.app.id, "Acme", Channel::Sms).is_ok());

    let revision = snapshot.routing().for_recipient("+8613800138000").unwrap();
    assert_eq!((revision.number, revision.document.routes[0].providers.join(" ")), (1, "b a".to_owned()));
}

#[tokio::test]
async fn credentials_are_sealed_and_open_only_for_their_provider() {
    let world = World::new();
    let control = world.ready().await;
    let snapshot = control.snapshot();
    let revision = snapshot.revision(1).unwrap();
    let provider = revision.document.provider("b").unwrap();
    for name in tidings_providers::registry::secret_settings("http") {
        if let Some(value) = provider.settings.get(*name) {
            assert!(matches!(value, SettingValue::Sealed { .. }), "{name} lies in the clear");
        }
    }
    let kept = serde_json::to_string(&revision.document).unwrap();
    assert!(!kept.contains("canary-credential") && !kept.contains("a-receipt-token-of-b"));
    let opened = routing::open_settings(provider, &control.sealing()).unwrap();
    assert_eq!(opened["headers"]["Authorization"], "Bearer canary-credential");
}

#[tokio::test]
async fn applying_it_again_changes_nothing_and_the_log_says_who_brought_it() {
    let world = World::new();
    let control = world.ready().await;
    let before = control.snapshot().sequence();
    let again = Bootstrap::read(FILE).unwrap().apply(&control).await.unwrap();
    assert_eq!((again, control.snapshot().sequence()), (Applied::default(), before));

    // Another node, after a restart.
    let second = world.node("second").await;
    assert_eq!(Bootstrap::read(FILE).unwrap().apply(&second).await.unwrap(), Applied::default());

    let filter = Filter { actor: Some("bootstrap".into()), ..Filter::default() };
    let entries = control.audit_log(&filter, None, 200).await.unwrap();
    assert!(entries.iter().any(|(_, entry)| entry.action == "key.created"));
    let log = format!("{entries:?}");
    assert!(!log.contains(LIVE) && !log.contains("correct horse") && !log.contains("canary-credential"));
    assert_eq!(control.verify_audit().await.unwrap().unwrap(), entries.len() as i64 + 1);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place_and_the_nearest_name() {
    let faults = Bootstrap::read(
        r#"
        [[users]]
        name = "Root User"
        role = "amin"
        password = "short"
        [[apps]]
        nam = "shop"
        [[apps]]
        name = "shop"
        countries = ["CN"]
        [[apps.keys]]
        name = "k"
        secret = "tk_live_guessable"
        scopes = ["message:send"]
        [[apps.templates]]
        name = "t"
        channel = "smss"
        category = "otp"
        text = "{{ code"
        [[providers]]
        name = "a"
        kind = "htpp"
        channel = "sms"
        wieght = 3
        [[providers]]
        name = "a"
        kind = "simulated"
        channel = "sms"
        settings = { latency_p5_ms = 3 }
        [[routes]]
        match = { app = ["shpo"] }
        select = "wieghted"
        providers = ["a", "b"]
        "#,
    )
    .unwrap_err();
    insta::assert_snapshot!(faults.to_string());
}
