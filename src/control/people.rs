//! People: made, given another role or password, disabled. There is always an admin left who can come in.

use serde_json::{Map, Value, json};
use tidings_core::{id::UserId, redact::Secret};

use super::{
    Actor, Control, Error, Plan, Scene,
    fields::{Fault, Fields},
    model::{ActorId, Kind, Role, User},
    password,
    plan::{Said, difference},
    tokens,
};

impl Control {
    /// Makes a person.
    ///
    /// # Errors
    /// The fields are not valid, the name is taken, the store is away.
    pub async fn create_user(&self, actor: &Actor, body: &Map<String, Value>) -> Result<User, Error> {
        let mut faults = Vec::new();
        let mut fields = Fields::new("", body, &mut faults);
        let name =
            fields.name("name", User::is_name, "1 to 64 letters, digits and -_.@, and no word of the service's own").map(str::to_owned);
        let role = fields.required("role", Fields::word::<Role>);
        let password = fields.required("password", read_password);
        fields.finish();
        let (Some(name), Some(role), Some(password), []) = (name, role, password, faults.as_slice()) else {
            return Err(Error::Invalid(faults));
        };
        if self.snapshot().user_named(&name).is_some() {
            return Err(Error::Exists(Kind::User));
        }
        let hash = self.hash_password(&password).await?;
        self.change(|scene| {
            let mut plan = Plan::default();
            let user = new_user(scene, actor.id.clone(), &name, role, Some(hash.clone()));
            plan.create(&user);
            plan.log(
                scene,
                actor,
                Said { action: "user.created", object: user.id.to_string(), after: Some(shown(&user)), ..Default::default() },
            );
            Ok((plan, user))
        })
        .await
    }

    /// Changes a person's role or password, or shuts them out. A new password and being shut out end all their sessions.
    ///
    /// # Errors
    /// There is nobody of this id, the fields are not valid, nobody would be left who is admin, the store is away.
    pub async fn change_user(&self, actor: &Actor, id: UserId, body: &Map<String, Value>) -> Result<User, Error> {
        let mut faults = Vec::new();
        let mut fields = Fields::new("", body, &mut faults);
        let role = fields.word::<Role>("role");
        let password = if fields.has("password") { fields.required("password", read_password) } else { None };
        fields.value("password");
        let disabled = fields.flag("disabled");
        fields.finish();
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        self.snapshot().user(id).ok_or(Error::NotFound)?;
        let hash = match &password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        self.set_user(actor, id, role, hash, disabled).await
    }

    async fn set_user(
        &self,
        actor: &Actor,
        id: UserId,
        role: Option<Role>,
        hash: Option<String>,
        disabled: Option<bool>,
    ) -> Result<User, Error> {
        self.change(|scene| {
            let kept = scene.snapshot.user(id).ok_or(Error::NotFound)?;
            let mut user = kept.value.clone();
            user.role = role.unwrap_or(user.role);
            user.disabled = disabled.unwrap_or(user.disabled);
            let shut_out = user.disabled && !kept.disabled;
            if let Some(hash) = &hash {
                user.password = Some(hash.clone());
            }
            let mut plan = Plan::default();
            if hash.is_some() || shut_out {
                user.valid_from = scene.now;
                tokens::end_all(scene, &mut plan, |family| family.user == Some(id));
            }
            if user == kept.value {
                return Ok((plan, user));
            }
            let another = |other: &User| other.id != id && other.role == Role::Admin && !other.disabled;
            let is_admin = user.role == Role::Admin && !user.disabled;
            if !is_admin && kept.role == Role::Admin && !scene.snapshot.users().any(|other| another(other)) {
                let field = if shut_out { "/disabled" } else { "/role" };
                return Err(Error::Invalid(vec![Fault::new(field, "conflict", "nobody would be left who is admin")]));
            }
            let (mut before, mut after) = difference(&shown(kept), &shown(&user));
            if hash.is_some() {
                before["password"] = json!("[hidden]");
                after["password"] = json!("[changed]");
            }
            plan.update(kept, &user);
            let action = if shut_out { "user.disabled" } else { "user.changed" };
            plan.log(scene, actor, Said { action, object: id.to_string(), before: Some(before), after: Some(after), ..Default::default() });
            Ok((plan, user))
        })
        .await
    }

    /// Lets somebody in again from the command line of the installation: makes the person or gives them this role and
    /// password, and opens the door if it was shut.
    ///
    /// # Errors
    /// The name or password is not valid, the store is away.
    pub async fn rescue_user(&self, name: &str, role: Option<Role>, password: &Secret) -> Result<User, Error> {
        let actor = Actor::own(ActorId::command());
        let mut faults = Vec::new();
        if !User::is_name(name) {
            faults.push(Fault::new("/name", "format", "must be 1 to 64 letters, digits and -_.@, and no word of the service's own"));
        }
        if !password::is_password(password.expose()) {
            faults.push(password_fault("/password"));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        self.refresh().await?;
        let hash = self.hash_password(password).await?;
        let known = self.snapshot().user_named(name).map(|user| user.id);
        if let Some(id) = known {
            return self.set_user(&actor, id, role, Some(hash), Some(false)).await;
        }
        self.change(|scene| {
            let mut plan = Plan::default();
            let user = new_user(scene, actor.id.clone(), name, role.unwrap_or(Role::Admin), Some(hash.clone()));
            plan.create(&user);
            plan.log(
                scene,
                &actor,
                Said { action: "user.created", object: user.id.to_string(), after: Some(shown(&user)), ..Default::default() },
            );
            Ok((plan, user))
        })
        .await
    }
}

pub(super) fn new_user(scene: &Scene<'_>, by: ActorId, name: &str, role: Role, password: Option<String>) -> User {
    User {
        id: UserId::new(scene.now, scene.clock.random()),
        name: name.to_owned(),
        role,
        password,
        disabled: false,
        valid_from: scene.now,
        oidc: None,
        created_at: scene.now,
        created_by: by,
    }
}

/// A person as the log shows them.
pub(super) fn shown(user: &User) -> Value {
    json!({"name": user.name, "role": user.role, "disabled": user.disabled})
}

fn read_password(fields: &mut Fields<'_>, name: &'static str) -> Option<Secret> {
    let text = fields.text(name)?;
    if password::is_password(text) {
        return Some(Secret::new(text.to_owned()));
    }
    let fault = password_fault("");
    fields.fault(name, fault.code, fault.detail);
    None
}

fn password_fault(pointer: &str) -> Fault {
    let detail = format!("must have {} to {} characters", password::MIN_PASSWORD_CHARS, password::MAX_PASSWORD_CHARS);
    Fault::new(pointer, "length", detail)
}
