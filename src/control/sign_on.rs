//! People who come by single sign-on: known by issuer and subject, never by a name that somebody might take over.
//!
//! The provider decides their role with each log-in, also downwards, so somebody who loses a group there loses the role here.
//! Should nobody be left who is admin, `tidings user rescue` is the way back.

use serde_json::json;

use super::{
    Actor, Control, Error, Plan,
    model::{ActorId, Role},
    people,
    plan::{Said, difference},
    tokens::{Holder, Issued, NoToken},
};

/// Who the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Issuer and subject.
    pub subject: String,
    /// What they are called here, once they are made.
    pub name: String,
    pub role: Role,
}

/// Why somebody that the provider vouches for does not get in.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    #[error("this person is disabled")]
    Disabled,
    /// Somebody else has this name, with a password or from another provider.
    #[error("the name is somebody else's")]
    NameTaken,
    #[error(transparent)]
    Token(#[from] NoToken),
}

impl From<Error> for NoEntry {
    fn from(error: Error) -> Self {
        Self::Token(NoToken::Control(error))
    }
}

impl Control {
    /// Begins a session for whoever the provider vouches for: makes them with the first log-in, and gives them the role that
    /// the provider says with each.
    ///
    /// # Errors
    /// They are disabled, their name is another's, the store is away.
    pub async fn sign_on(&self, identity: &Identity, origin: &Actor) -> Result<Issued, NoEntry> {
        self.refresh().await?;
        let user = self
            .change(|scene| {
                let mut plan = Plan::default();
                let known = scene.snapshot.users().find(|user| user.oidc.as_deref() == Some(&identity.subject));
                let Some(kept) = known else {
                    if scene.snapshot.user_named(&identity.name).is_some() {
                        return Ok((plan, Err(NoEntry::NameTaken)));
                    }
                    let mut user = people::new_user(scene, ActorId::system(), &identity.name, identity.role, None);
                    user.oidc = Some(identity.subject.clone());
                    plan.create(&user);
                    let mut after = people::shown(&user);
                    after["single_sign_on"] = json!(true);
                    let object = user.id.to_string();
                    plan.log(scene, origin, Said { action: "user.created", object, after: Some(after), ..Default::default() });
                    return Ok((plan, Ok(user)));
                };
                let mut user = kept.value.clone();
                if user.disabled {
                    return Ok((plan, Err(NoEntry::Disabled)));
                }
                user.role = identity.role;
                if user != kept.value {
                    let (before, after) = difference(&people::shown(kept), &people::shown(&user));
                    plan.update(kept, &user);
                    let said = Said {
                        action: "user.changed",
                        object: user.id.to_string(),
                        before: Some(before),
                        after: Some(after),
                        reason: Some("the role that the single sign-on gives"),
                    };
                    plan.log(scene, origin, said);
                }
                Ok((plan, Ok(user)))
            })
            .await??;
        let actor = Actor { id: ActorId::user(&user), role: Some(user.role), ..origin.clone() };
        Ok(self.issue(&Holder::User { id: user.id, role: user.role }, &actor).await?)
    }
}
