//! Keys of every kind are rotated without anybody being turned away.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tidings::control::{Actor, model::ActorId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    tokens::{exchange_for, refresh, text},
    world::{KEY_ID, LIVE, Server, World},
};

/// A team's system at work: it asks again and again, with its key and with tokens that it refreshes as it goes.
struct Load {
    server: Arc<Server>,
    /// Id and secret of the key that it uses from its next round on.
    key: Mutex<(String, String)>,
    rounds: watch::Sender<u32>,
    stop: CancellationToken,
}

impl Load {
    fn of(server: &Arc<Server>) -> Arc<Self> {
        let key = Mutex::new((KEY_ID.to_owned(), LIVE.to_owned()));
        Arc::new(Self { server: Arc::clone(server), key, rounds: watch::Sender::new(0), stop: CancellationToken::new() })
    }

    /// Returns how often it asked, and who was refused.
    async fn run(&self) -> (u32, Vec<String>) {
        let (mut calls, mut refused) = (0, Vec::new());
        let mut known: Option<((String, String), Value)> = None;
        while !self.stop.is_cancelled() {
            let key = self.key.lock().unwrap().clone();
            let tokens = match known.take() {
                Some((same, tokens)) if same == key => tokens,
                _ => exchange_for(&self.server, &key.0, &key.1).await,
            };
            for token in [key.1.as_str(), text(&tokens["access_token"])] {
                let answer = self.server.get("/v1/messages", token).await;
                calls += 1;
                if answer.status != 200 {
                    refused.push(format!("{}: {}", answer.status, answer.body));
                }
            }
            let next = refresh(&self.server, &tokens["refresh_token"]).await;
            if next.status != 200 {
                refused.push(format!("refresh {}: {}", next.status, next.body));
            }
            known = (next.status == 200).then_some((key, next.body));
            self.rounds.send_modify(|rounds| *rounds += 1);
        }
        (calls, refused)
    }

    /// Waits until whatever began before is over.
    async fn two_rounds(&self) {
        let (mut rounds, now) = (self.rounds.subscribe(), *self.rounds.borrow());
        rounds.wait_for(|rounds| *rounds >= now + 2).await.unwrap();
    }
}

#[tokio::test]
async fn every_kind_of_key_is_rotated_under_load_without_a_refusal() {
    let mut world = World::new();
    let (old, new_key) = (world.keys.clone(), tidings::seal::Keyring::line(&[8; 32]));
    // Every node can open what the new master key seals before any of them seals with it.
    world.keys = format!("{old}\n{new_key}");
    let (control, server) = world.open().await;
    let actor = Actor::own(ActorId::command());
    let server = Arc::new(server);
    let load = Load::of(&server);
    let working = tokio::spawn({
        let load = Arc::clone(&load);
        async move { load.run().await }
    });

    // Signing keys: several at once in their overlap.
    for _ in 0..3 {
        control.rotate_signing_key(&actor).await.unwrap();
    }
    // API keys: both are good until the team has changed over, then the old one goes.
    let root = server.session("root").await;
    let new = server.post("/v1/admin/apps/shop/keys", &root, json!({"name": "next", "scopes": ["messages:read"]})).await.expect(201);
    let secret = text(&new["secret"]).to_owned();
    load.two_rounds().await;
    *load.key.lock().unwrap() = (text(&new["id"]).to_owned(), secret.clone());
    load.two_rounds().await;
    let keys = server.get("/v1/admin/apps/shop/keys", &root).await.expect(200);
    assert!(keys["data"][0]["last_used_at"].is_string(), "whoever rotates sees that the new key is in use: {keys}");
    server.call(Method::DELETE, &format!("/v1/admin/apps/shop/keys/{KEY_ID}"), Some(&root), None).await.expect(204);
    server.get("/v1/messages", LIVE).await.refused(401, "unauthorized");
    // A recipient's data is to be deleted meanwhile: the order has to be carried out by whoever comes next.
    let to = tidings_core::redact::Redacted::new("+8613800138000".to_owned());
    control.order_erasure(&actor, &to).await.unwrap();
    // The master key: a node on which the new one comes first seals again, while the first node goes on.
    world.keys = format!("{new_key}\n{old}");
    let both = world.node("both").await;
    let seals = both.seal_again(&actor).await.unwrap();
    assert!(seals.secrets >= 5 && seals.documents == 0, "{seals:?}");
    assert_eq!(both.seal_again(&actor).await.unwrap(), tidings::control::keys::Resealed::default());
    world.keys = new_key;
    let new_only = world.node("new-only").await;
    let there = world.server(&new_only).await;
    there.get("/v1/messages", &secret).await.expect(200);
    assert_eq!(new_only.orders().unwrap()[0].to, to);
    assert!(
        tidings::control::routing::open_settings(
            new_only.snapshot().revision(1).unwrap().document.provider("b").unwrap(),
            &new_only.sealing()
        )
        .is_ok()
    );

    load.two_rounds().await;
    load.stop.cancel();
    let (calls, refused) = working.await.unwrap();
    println!("{calls} calls while every key was rotated");
    assert!(calls > 10 && refused.is_empty(), "{calls} calls, refused: {refused:?}");
}

#[tokio::test]
async fn a_new_signing_key_signs_once_every_node_has_it_and_the_old_one_verifies_to_the_end() {
    let world = World::new();
    let control = world.ready().await;
    let now = world.clock.now();
    let (before, token) = {
        let snapshot = control.snapshot();
        let (kid, key) = snapshot.opened().signing(now).unwrap();
        (kid.to_owned(), key.sign(b"{}"))
    };
    control.rotate_signing_key(&Actor::own(ActorId::command())).await.unwrap();
    let snapshot = control.snapshot();
    let kid = |after_s: u64| snapshot.opened().signing(now + Duration::from_secs(after_s)).map(|(kid, _)| kid.to_owned());
    assert_eq!(kid(5), Some(before.clone()));
    assert_ne!(kid(15), Some(before.clone()));
    let verifies = |after_s: u64| snapshot.opened().claims(&token, now + Duration::from_secs(after_s)).is_some();
    assert!(verifies(900) && !verifies(1_000));
}
