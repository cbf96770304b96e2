//! Who of the staff is calling, and what the audit log keeps of where they call from.

use std::{convert::Infallible, net::SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, request::Parts};

use crate::{
    api::{
        Api, RequestId,
        extract::{no_parameters, principal},
        problem::{Code, Problem},
    },
    config::Network,
    control::{
        Actor,
        auth::{Machine, Person, Principal},
        model::{ActorId, Role},
    },
};

/// Where a call comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub address: Option<String>,
    pub request_id: Option<String>,
}

impl Origin {
    /// Nobody in particular yet, from there.
    pub fn actor(&self, id: ActorId) -> Actor {
        Actor { address: self.address.clone(), request_id: self.request_id.clone(), ..Actor::own(id) }
    }

    /// A team's system, from there.
    pub fn machine(&self, machine: &Machine) -> Actor {
        Actor { maker: Some(machine.key.created_by.clone()), ..self.actor(ActorId::key(machine.key.id)) }
    }
}

impl FromRequestParts<Api> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let address = peer.map(|peer| client(peer, &parts.headers, &api.http.trusted_proxies).to_string());
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
        Ok(Self { address, request_id })
    }
}

/// The nearest address that is not one of our own proxies: what stands further left in the header anybody may have written.
pub(crate) fn client(peer: std::net::IpAddr, headers: &HeaderMap, trusted: &[Network]) -> std::net::IpAddr {
    let is_proxy = |address: std::net::IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for entry in forwarded.collect::<Vec<_>>().into_iter().rev() {
        if !is_proxy(nearest) {
            break;
        }
        let Ok(address) = entry.trim().parse::<std::net::IpAddr>() else { break };
        nearest = address.to_canonical();
    }
    nearest
}

macro_rules! staff {
    ($($(#[$doc:meta])* $name:ident = $role:ident,)*) => {$(
        $(#[$doc])*
        pub struct $name {
            pub person: Person,
            pub actor: Actor,
        }

        impl FromRequestParts<Api> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                let (person, actor) = at_least(Role::$role, parts, api).await?;
                Ok(Self { person, actor })
            }
        }
    )*};
}

staff! {
    /// Anybody of the staff.
    Viewer = Viewer,
    /// Somebody who runs things.
    Operator = Operator,
    /// Somebody who decides requests.
    Approver = Approver,
    /// Somebody who decides who is who.
    Admin = Admin,
}

async fn at_least(role: Role, parts: &mut Parts, api: &Api) -> Result<(Person, Actor), Problem> {
    let refused = || Problem::new(Code::RoleRequired).because(format!("the role {role} is needed"));
    let person = match principal(&parts.headers, api).await? {
        Principal::Person(person) => person,
        Principal::Machine(_) => return Err(refused()),
    };
    if person.role() < role {
        return Err(refused());
    }
    no_parameters(parts)?;
    let Ok(origin) = Origin::from_request_parts(parts, api).await;
    let actor = Actor { role: Some(person.role()), ..origin.actor(person.actor()) };
    Ok((person, actor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_own_proxies_say_of_an_address_is_believed() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            client(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(of("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }
}
