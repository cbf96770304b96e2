//! The same way for all six kinds of requests: filed, discussed, taken back, rejected, approved, and in force only then.

use http::Method;
use serde_json::{Value, json};

use super::world::{Server, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    App,
    ProductionAccess,
    Quota,
    TemplateVersion,
    Signature,
    RoutingRevision,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::App, "app"),
    (Kind::ProductionAccess, "app_change"),
    (Kind::Quota, "app_change"),
    (Kind::TemplateVersion, "template_version"),
    (Kind::Signature, "signature"),
    (Kind::RoutingRevision, "routing_revision"),
];

/// Everybody who takes part; anna files everything, by herself or with a key that she made.
struct Staff {
    server: Server,
    vera: String,
    otto: String,
    anna: String,
    root: String,
    key: String,
}

impl Staff {
    async fn of(server: Server) -> Self {
        let (vera, otto) = (server.session("vera").await, server.session("otto").await);
        let (anna, root) = (server.session("anna").await, server.session("root").await);
        let key = json!({"name": "annas", "scopes": ["messages:send", "templates:write"]});
        let key = server.post("/v1/admin/apps/shop/keys", &anna, key).await.expect(201)["secret"].as_str().unwrap().to_owned();
        server.call(Method::PATCH, "/v1/admin/apps/shop", Some(&otto), Some(json!({"daily_quota": 5}))).await.expect(200);
        Self { server, vera, otto, anna, root, key }
    }

    /// Asks for something of its own in each round: what was rejected is not asked for again, but written anew.
    async fn file(&self, kind: Kind, round: usize) -> Value {
        let Self { server, anna, key, .. } = self;
        let name = format!("thing-{round}");
        match kind {
            Kind::App => server.post("/v1/admin/apps", anna, json!({"name": name, "live": true})).await,
            Kind::ProductionAccess => server.call(Method::PATCH, "/v1/admin/apps/other", Some(anna), Some(json!({"live": true}))).await,
            Kind::Quota => server.call(Method::PATCH, "/v1/admin/apps/shop", Some(anna), Some(json!({"daily_quota": 10}))).await,
            Kind::TemplateVersion => {
                let body = json!({"name": name, "channel": "sms", "category": "otp", "text": "Use {{ code }}."});
                server.post("/v1/templates", key, body).await.expect(201);
                server.post(&format!("/v1/templates/{name}/versions/1/submit"), key, json!({})).await
            }
            Kind::Signature => {
                server.post("/v1/signatures", key, json!({"name": name})).await.expect(201);
                server.post(&format!("/v1/signatures/{name}/submit"), key, json!({})).await
            }
            Kind::RoutingRevision => {
                let document = json!({"providers": [{"name": "a", "kind": "simulated", "channel": "sms", "weight": 10}]});
                let number = server.post("/v1/admin/routing/revisions", anna, document).await.expect(201)["number"].clone();
                assert_eq!(number, json!(round + 2));
                server.post(&format!("/v1/admin/routing/revisions/{number}/submit"), anna, json!({})).await
            }
        }
        .expect(202)
    }

    async fn is_in_force(&self, kind: Kind, round: usize) -> bool {
        let Self { server, root, key, .. } = self;
        let name = format!("thing-{round}");
        let mut message = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}});
        match kind {
            Kind::App => server.get(&format!("/v1/admin/apps/{name}"), root).await.status == 200,
            Kind::ProductionAccess => server.get("/v1/admin/apps/other", root).await.expect(200)["live"] == true,
            Kind::Quota => server.get("/v1/admin/apps/shop", root).await.expect(200)["daily_quota"] == 10,
            Kind::TemplateVersion => {
                message["template"] = json!(name);
                server.post("/v1/messages/preview", key, message).await.status == 200
            }
            Kind::Signature => {
                message["signature"] = json!(name);
                server.post("/v1/messages/preview", key, message).await.status == 200
            }
            Kind::RoutingRevision => {
                let path = format!("/v1/admin/routing/revisions/{}/activate", round + 2);
                server.post(&path, root, json!({"percent": 5})).await.status == 200
            }
        }
    }

    async fn decide(&self, token: &str, id: &str, how: &str, body: Value) -> super::world::Answer {
        self.server.post(&format!("/v1/admin/requests/{id}/{how}"), token, body).await
    }

    async fn until_decided(&self, kind: Kind, word: &str, round: usize, how: &str, body: Value) -> Value {
        let filed = self.file(kind, round).await;
        let id = filed["id"].as_str().unwrap();
        assert_eq!((&filed["kind"], &filed["status"]), (&json!(word), &json!("pending")), "{kind:?}");
        assert!(filed["change"]["to"] != Value::Null, "{kind:?} does not say what would change: {filed}");
        let page = self.server.get(&format!("/v1/admin/requests?status=pending&kind={word}"), &self.vera).await.expect(200);
        assert_eq!(page["data"][0]["id"], id, "{kind:?}");
        assert!(!self.is_in_force(kind, round).await, "{kind:?} is in force before anybody has looked at it");

        // Discussed by whoever works here, decided by nobody below an approver and not by whose it is.
        self.decide(&self.vera, id, "comments", json!({"comment": "what for?"})).await.refused(403, "role_required");
        self.decide(&self.otto, id, "comments", json!({"comment": "what for?"})).await.expect(200);
        self.decide(&self.anna, id, "comments", json!({"comment": "for the winter"})).await.expect(200);
        self.decide(&self.otto, id, "approve", json!({})).await.refused(403, "role_required");
        self.decide(&self.anna, id, "approve", json!({})).await.refused(403, "own_request");
        self.decide(&self.anna, id, "reject", json!({"reason": "mine"})).await.refused(403, "own_request");
        self.decide(&self.root, id, "reject", json!({})).await.refused(422, "invalid");
        self.decide(&self.root, id, "withdraw", json!({})).await.refused(404, "not_found");

        let by = if how == "withdraw" { &self.anna } else { &self.root };
        self.decide(by, id, how, body).await.expect(200);
        for (again, body) in [("approve", json!({})), ("reject", json!({"reason": "late"})), ("comments", json!({"comment": "late"}))] {
            self.decide(&self.root, id, again, body).await.refused(409, "not_pending");
        }
        self.decide(&self.anna, id, "withdraw", json!({})).await.refused(409, "not_pending");
        let seen = self.server.get(&format!("/v1/admin/requests/{id}"), &self.vera).await.expect(200);
        let trail: Vec<(&str, &str)> = seen["comments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|comment| (comment["by"].as_str().unwrap(), comment["text"].as_str().unwrap()))
            .collect();
        assert_eq!(trail, [("otto", "what for?"), ("anna", "for the winter")], "{kind:?}");
        seen
    }
}

#[tokio::test]
async fn every_kind_of_request_goes_the_same_way_and_is_in_force_only_once_others_approved_it() {
    for (kind, word) in KINDS {
        let world = World::new();
        let (_control, server) = world.open().await;
        let staff = Staff::of(server).await;
        let withdrawn = staff.until_decided(kind, word, 0, "withdraw", json!({})).await;
        assert_eq!((&withdrawn["status"], &withdrawn["decided_by"]), (&json!("withdrawn"), &json!("anna")), "{kind:?}");
        assert!(!staff.is_in_force(kind, 0).await, "{kind:?} was taken back and is in force");

        let rejected = staff.until_decided(kind, word, 1, "reject", json!({"reason": "not this year"})).await;
        let told = (&rejected["status"], &rejected["decided_by"], &rejected["reason"]);
        assert_eq!(told, (&json!("rejected"), &json!("root"), &json!("not this year")), "{kind:?}");
        assert!(!staff.is_in_force(kind, 1).await, "{kind:?} was rejected and is in force");

        let approved = staff.until_decided(kind, word, 2, "approve", json!({"comment": "fine"})).await;
        assert_eq!((&approved["status"], &approved["reason"]), (&json!("approved"), &json!("fine")), "{kind:?}");
        assert!(staff.is_in_force(kind, 2).await, "{kind:?} was approved and is not in force");

        // Every step is on record.
        let object = approved["id"].as_str().unwrap();
        let log = staff.server.get(&format!("/v1/admin/audit?object={object}"), &staff.anna).await.expect(200);
        let actions: Vec<&str> = log["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["request.approved", "request.commented", "request.commented", "request.filed"], "{kind:?}");
    }
}
