//! What somebody may do, and what they are called, from the claims of their ID token.

use serde_json::Value;

use super::{Error, id_token::Claims};
use crate::{
    config,
    control::model::{Role, User},
};

/// Which values of a claim give which role.
pub struct Roles {
    claim: String,
    /// The highest first.
    values: [(Role, Vec<String>); 4],
    default: Option<Role>,
}

impl Roles {
    pub fn new(oidc: &config::Oidc) -> Self {
        let values = [
            (Role::Admin, oidc.admins.clone()),
            (Role::Approver, oidc.approvers.clone()),
            (Role::Operator, oidc.operators.clone()),
            (Role::Viewer, oidc.viewers.clone()),
        ];
        Self { claim: oidc.roles_claim.clone(), values, default: oidc.default_role }
    }

    /// The highest role that a value of the claim gives, else the default.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, claims: &Claims) -> Result<Role, Error> {
        let held: Vec<&str> = match claims.others.get(&self.claim) {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let given = self.values.iter().find(|(_, values)| values.iter().any(|value| held.contains(&value.as_str())));
        given.map(|(role, _)| *role).or(self.default).ok_or(Error::NoRole)
    }
}

/// What the person is called here: the first of the usual claims that can be a name.
pub fn name(claims: &Claims) -> Option<String> {
    let text = |claim: &str| claims.others.get(claim).and_then(Value::as_str);
    // An address that nobody has verified may be somebody else's.
    let email = text("email").filter(|_| claims.others.get("email_verified") == Some(&Value::Bool(true)));
    let candidates = [text("preferred_username"), email, Some(claims.sub.as_str())];
    candidates.into_iter().flatten().find(|candidate| User::is_name(candidate)).map(str::to_owned)
}
