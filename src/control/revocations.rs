//! Revocations by two ways: the store, and what nodes share beside it.
//!
//! A revocation is confirmed once it is durable in either. With both there, the store has it and the others hear of it by
//! their next poll of either; with the store away, the shared service has it, every node that reaches that refuses the key or
//! session within a second or two, and the first node that reaches the store again writes it down there. So a node that
//! reaches one of the two knows every revocation, and its rights count as confirmed.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use serde::{Deserialize, Serialize};
use tidings_core::id::KeyId;
use uuid::Uuid;

use super::{
    Actor, Control, Error, Plan,
    model::{ActorId, ApiKey, TokenFamily},
    plan::Said,
    tokens,
};

const TOPIC: &str = "revoked";
/// The shared service forgets it then: nothing that was signed before lives on, and the store has been back for long.
const KEPT: Duration = Duration::from_hours(24);
/// More than this waits to be told only while everything is away; the oldest are in the store by then.
const MAX_UNTOLD: usize = 10_000;

/// What is revoked, and by whom: whoever writes it down later puts it into the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revocation {
    #[serde(skip)]
    id: Uuid,
    what: What,
    actor: ActorId,
    address: Option<String>,
    request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Key,
    Family,
}

impl Revocation {
    pub fn key(key: KeyId, actor: &Actor) -> Self {
        Self::new(key.uuid(), What::Key, actor)
    }

    pub fn family(id: Uuid, actor: &Actor) -> Self {
        Self::new(id, What::Family, actor)
    }

    fn new(id: Uuid, what: What, actor: &Actor) -> Self {
        Self { id, what, actor: actor.id.clone(), address: actor.address.clone(), request_id: actor.request_id.clone() }
    }
}

impl Control {
    /// The end of a revocation that was to be committed: told to the others, or, with the store away, durable by that.
    pub(super) async fn revoked_by<T: Default>(&self, committed: Result<T, Error>, revocation: Revocation) -> Result<T, Error> {
        match committed {
            Ok(done) => {
                if self.tell(&revocation).await.is_err() {
                    let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
                    if untold.len() < MAX_UNTOLD {
                        untold.push(revocation);
                    }
                }
                Ok(done)
            }
            Err(Error::Store(away)) if away.is_unavailable() => {
                if self.shared.is_none() || self.tell(&revocation).await.is_err() {
                    return Err(Error::Store(away));
                }
                let mut revoked = self.snapshot().revoked().clone();
                revoked.insert(revocation.id);
                self.show_revoked(revoked).await;
                Ok(T::default())
            }
            Err(error) => Err(error),
        }
    }

    async fn tell(&self, revocation: &Revocation) -> Result<(), crate::shared::Away> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let value = serde_json::to_vec(revocation).expect("text can be written as JSON");
        shared.tell(TOPIC, &revocation.id.simple().to_string(), &value, KEPT).await
    }

    /// One round: tells what is untold, hears what others told, and writes down what the store does not know.
    pub(super) async fn exchange_revocations(&self, store_is_away: bool) {
        let Some(shared) = &self.shared else { return };
        let untold = std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner));
        for revocation in untold {
            if self.tell(&revocation).await.is_err() {
                self.untold.lock().unwrap_or_else(PoisonError::into_inner).push(revocation);
            }
        }
        let asked_at = self.clock.now();
        let Ok(told) = shared.told(TOPIC).await else { return };
        let mut heard = Vec::new();
        for (name, value) in told {
            if let (Ok(id), Ok(revocation)) = (name.parse::<Uuid>(), serde_json::from_slice::<Revocation>(&value)) {
                heard.push(Revocation { id, ..revocation });
            }
        }
        self.show_revoked(heard.iter().map(|revocation| revocation.id).collect::<BTreeSet<_>>()).await;
        self.confirm(asked_at);
        if store_is_away {
            return;
        }
        for revocation in heard {
            if let Err(error) = self.write_down(&revocation).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a revocation is not in the store yet; the next round tries again"
                );
            }
        }
    }

    /// Commits a revocation that came while the store was away; nothing happens where it is there already.
    async fn write_down(&self, revocation: &Revocation) -> Result<(), Error> {
        let actor = Actor {
            address: revocation.address.clone(),
            request_id: revocation.request_id.clone(),
            ..Actor::own(revocation.actor.clone())
        };
        self.change(|scene| {
            let mut plan = Plan::default();
            let action = match revocation.what {
                What::Key => {
                    let key = KeyId::from_uuid(revocation.id);
                    let Some(kept) = scene.snapshot.key(key).filter(|kept| kept.revoked_at.is_none()) else { return Ok((plan, ())) };
                    plan.update(kept, &ApiKey { revoked_at: Some(scene.now), ..kept.value.clone() });
                    tokens::end_all(scene, &mut plan, |family| family.key == Some(key));
                    "key.revoked"
                }
                What::Family => {
                    let family = scene.snapshot.family(revocation.id).filter(|kept| !kept.revoked);
                    let Some(kept) = family else { return Ok((plan, ())) };
                    plan.update(kept, &TokenFamily { revoked: true, ..kept.value.clone() });
                    "token.revoked"
                }
            };
            let object = match revocation.what {
                What::Key => KeyId::from_uuid(revocation.id).to_string(),
                What::Family => revocation.id.to_string(),
            };
            plan.log(scene, &actor, Said { action, object, reason: Some("revoked while the store was away"), ..Default::default() });
            Ok((plan, ()))
        })
        .await
    }
}
