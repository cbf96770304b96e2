//! People come in by name and password, and leave.
//!
//! Wrong passwords are counted on this node and, where nodes share something beside the store, together with all others: a
//! guesser who is spread over ten nodes has the tries of one. While the shared service is away each node counts alone.

use tidings_core::redact::Secret;

use super::{
    Actor, Control, Error,
    auth::Person,
    model::ActorId,
    throttle::{Closed, MAX_WRONG, WINDOW, keys},
    tokens::{Holder, Issued, NoToken},
};
use crate::shared::Tried;

impl Control {
    /// Logs a person in. Each try costs one argon2, whoever it is for.
    ///
    /// # Errors
    /// Name and password do not fit, or too many did not before.
    pub async fn log_in(&self, name: &str, password: &Secret, origin: &Actor) -> Result<Issued, NoToken> {
        let address = origin.address.as_deref();
        self.logins.enter(name, address, self.clock.moment()).map_err(NoToken::Throttled)?;
        if let Err(closed) = self.enter_shared(name, address).await {
            self.logins.right(name, address);
            return Err(NoToken::Throttled(closed));
        }
        let snapshot = self.snapshot.load_full();
        let user = snapshot.user_named(name).filter(|user| !user.disabled);
        let phc = user.and_then(|user| user.password.as_deref());
        let fits = self.passwords.verify(password, phc).await.map_err(|_| NoToken::Control(Error::Busy))?;
        let Some(user) = user.filter(|_| fits) else { return Err(NoToken::WrongPassword) };
        self.logins.right(name, address);
        self.right_shared(name, address).await;
        let actor = Actor { id: ActorId::user(user), role: Some(user.role), ..origin.clone() };
        self.issue(&Holder::User { id: user.id, role: user.role }, &actor).await
    }

    /// Ends a person's session.
    ///
    /// # Errors
    /// The store is away: the session goes on.
    pub async fn log_out(&self, person: &Person, actor: &Actor) -> Result<(), Error> {
        self.end_family(person.family, actor, "session.ended").await
    }

    /// The same door, for all nodes together.
    async fn enter_shared(&self, name: &str, address: Option<&str>) -> Result<(), Closed> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let names = self.shared_names(name, address);
        for (index, one) in names.iter().enumerate() {
            // Away: this node has counted by itself.
            if let Ok(Tried::Closed(retry_after)) = shared.try_once(one, MAX_WRONG, WINDOW).await {
                for counted in &names[..index] {
                    drop(shared.take_back(counted).await);
                }
                return Err(Closed { retry_after });
            }
        }
        Ok(())
    }

    async fn right_shared(&self, name: &str, address: Option<&str>) {
        let Some(shared) = &self.shared else { return };
        for one in self.shared_names(name, address) {
            // What stays counted ends with its minute.
            drop(shared.take_back(&one).await);
        }
    }

    /// Names and addresses are hashed before they leave the process.
    fn shared_names(&self, name: &str, address: Option<&str>) -> Vec<String> {
        let snapshot = self.snapshot();
        let Some(key) = snapshot.opened().lookup() else { return Vec::new() };
        let hashed = |(kind, text): (_, String)| {
            let hash = key.hash(&[b"log-in", format!("{kind:?}").as_bytes(), text.as_bytes()]);
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        keys(name, address).into_iter().map(hashed).collect()
    }
}
