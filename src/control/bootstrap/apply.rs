//! Puts what a bootstrap file names, and does not exist yet, into force.

use std::collections::HashMap;

use tidings_core::{
    id::{AppId, KeyId, SignatureId, TemplateId, TemplateVersionId, UserId},
    template,
};

use super::{Applied, Bootstrap, NewApp, NewTemplate};
use crate::control::{
    Actor, Control, Error, Plan, Scene,
    model::{ActorId, ApiKey, App, RoutingRevision, RoutingState, Signature, Template, TemplateVersion, User, VersionStatus},
    password,
    plan::Said,
    routing,
};

impl Bootstrap {
    /// Brings into being whatever does not exist yet.
    ///
    /// # Errors
    /// The store is away, or a key's id belongs to another key.
    pub async fn apply(&self, control: &Control) -> Result<Applied, Error> {
        let hashes = self.password_hashes(control).await?;
        control
            .change(|scene| {
                let mut work = Work { scene, actor: Actor::own(ActorId::bootstrap()), plan: Plan::default(), applied: Applied::default() };
                for user in &self.users {
                    if let (None, Some(hash)) = (scene.snapshot.user_named(&user.name), hashes.get(&user.name)) {
                        let made = User {
                            id: UserId::new(scene.now, scene.clock.random()),
                            name: user.name.clone(),
                            role: user.role,
                            password: Some(hash.clone()),
                            disabled: false,
                            valid_from: scene.now,
                            oidc: None,
                            created_at: scene.now,
                            created_by: ActorId::bootstrap(),
                        };
                        work.plan.create(&made);
                        work.say("user.created", made.id.to_string(), serde_json::json!({"name": made.name, "role": made.role}));
                        work.applied.users += 1;
                    }
                }
                for new in &self.apps {
                    work.app(new);
                }
                work.routing(self);
                Ok((work.plan, work.applied))
            })
            .await
    }

    /// Only for people who do not exist yet: the computation is dear, and every start comes through here.
    async fn password_hashes(&self, control: &Control) -> Result<HashMap<String, String>, Error> {
        let mut hashes = HashMap::new();
        for user in &self.users {
            if control.snapshot().user_named(&user.name).is_none() {
                if !password::is_password(user.password.expose()) {
                    tracing::warn!(user = user.name, "the bootstrap file gives this person a password that is easy to guess");
                }
                hashes.insert(user.name.clone(), control.hash_password(&user.password).await?);
            }
        }
        Ok(hashes)
    }
}

struct Work<'a> {
    scene: &'a Scene<'a>,
    actor: Actor,
    plan: Plan,
    applied: Applied,
}

impl Work<'_> {
    fn say(&mut self, action: &'static str, object: String, after: serde_json::Value) {
        self.plan.log(self.scene, &self.actor, Said { action, object, after: Some(after), ..Default::default() });
    }

    fn app(&mut self, new: &NewApp) {
        let scene = self.scene;
        let id = match scene.snapshot.app_named(&new.app.name) {
            Some(existing) => existing.id,
            None => {
                let app = App { id: AppId::new(scene.now, scene.clock.random()), created_at: scene.now, ..new.app.clone() };
                self.plan.create(&app);
                self.say("app.created", app.id.to_string(), serde_json::to_value(&app).unwrap_or_default());
                self.applied.apps += 1;
                app.id
            }
        };
        self.keys(id, new);
        for template in &new.templates {
            let first = new.templates.iter().find(|other| other.name == template.name).is_some_and(|first| std::ptr::eq(first, template));
            if first && scene.snapshot.template(id, &template.name).is_none() {
                self.template(id, new.templates.iter().filter(|other| other.name == template.name).collect());
            }
        }
        for signature in &new.signatures {
            if scene.snapshot.signature(id, &signature.name).is_none() {
                let made = Signature {
                    id: SignatureId::new(scene.now, scene.clock.random()),
                    app: id,
                    name: signature.name.clone(),
                    channel: signature.channel,
                    status: VersionStatus::Approved,
                    reason: None,
                    author: ActorId::bootstrap(),
                    created_at: scene.now,
                };
                self.plan.create(&made);
                self.say("signature.created", made.id.to_string(), serde_json::json!({"name": made.name, "status": made.status}));
                self.applied.signatures += 1;
            }
        }
    }

    fn keys(&mut self, app: AppId, new: &NewApp) {
        let scene = self.scene;
        for key in &new.keys {
            if scene.snapshot.keys().any(|kept| kept.app == app && kept.name == key.name) {
                continue;
            }
            if scene.snapshot.key_by_hash(&key.hash).is_some() {
                tracing::warn!(key = key.name, "the bootstrap file names a key whose secret another key has; it is left out");
                continue;
            }
            let made = ApiKey {
                id: key.id.unwrap_or_else(|| KeyId::new(scene.now, scene.clock.random())),
                app,
                name: key.name.clone(),
                hash: key.hash,
                hint: key.hint.clone(),
                scopes: key.scopes,
                test: key.test,
                expires_at: key.expires_at,
                revoked_at: None,
                created_at: scene.now,
                created_by: ActorId::bootstrap(),
            };
            self.plan.create(&made);
            self.say(
                "key.created",
                made.id.to_string(),
                serde_json::json!({"name": made.name, "app": app, "scopes": made.scopes, "test": made.test}),
            );
            self.applied.keys += 1;
        }
    }

    fn template(&mut self, app: AppId, versions: Vec<&NewTemplate>) {
        let scene = self.scene;
        let Some(first) = versions.first() else { return };
        let version = |(index, new): (usize, &&NewTemplate)| TemplateVersion {
            id: TemplateVersionId::new(scene.now, scene.clock.random()),
            version: index as u32 + 1,
            locale: new.locale.clone(),
            text: new.text.clone(),
            subject: new.subject.clone(),
            params: params(&new.text, new.subject.as_deref()),
            status: VersionStatus::Approved,
            reason: None,
            author: ActorId::bootstrap(),
            created_at: scene.now,
        };
        let made = Template {
            id: TemplateId::new(scene.now, scene.clock.random()),
            app,
            name: first.name.clone(),
            channel: first.channel,
            category: first.category,
            default_locale: first.locale.clone(),
            versions: versions.iter().enumerate().map(version).collect(),
            archived: false,
            created_at: scene.now,
        };
        self.plan.create(&made);
        self.say(
            "template.created",
            made.id.to_string(),
            serde_json::json!({"name": made.name, "versions": made.versions.len(), "status": "approved"}),
        );
        self.applied.templates += 1;
    }

    fn routing(&mut self, bootstrap: &Bootstrap) {
        let scene = self.scene;
        let Some(document) = &bootstrap.routing else { return };
        if scene.snapshot.revisions().next().is_some() {
            return;
        }
        let mut document = document.clone();
        routing::seal(&mut document, scene.sealing());
        let providers: Vec<_> = document.providers.iter().map(|provider| provider.name.clone()).collect();
        let revision = RoutingRevision {
            id: scene.uuid(),
            number: 1,
            status: VersionStatus::Approved,
            author: ActorId::bootstrap(),
            created_at: scene.now,
            document,
        };
        self.plan.create(&revision);
        self.plan.create(&RoutingState { id: scene.uuid(), base: 1, trial: None, percent: 0 });
        self.say("routing_revision.created", "1".to_owned(), serde_json::json!({"number": 1, "providers": providers}));
        self.say("routing_revision.activated", "1".to_owned(), serde_json::json!({"number": 1, "percent": 100}));
        self.applied.revisions = 1;
    }
}

/// The parameters of a text and its subject, in the order in which they first appear.
pub(in crate::control) fn params(text: &str, subject: Option<&str>) -> Vec<String> {
    let mut params = Vec::new();
    for text in [Some(text), subject].into_iter().flatten() {
        if let Ok(template) = template::Template::parse(text) {
            for param in template.params() {
                if !params.contains(param) {
                    params.push(param.clone());
                }
            }
        }
    }
    params
}
