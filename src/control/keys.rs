//! The installation's own keys: new signing keys, and everything sealed again under a new master key.

use tidings_core::{id::KeyId, time::Timestamp};

use super::{
    Actor, Control, Error, Plan, Scene,
    audit::ChainKey,
    erasures,
    model::{ActorId, SealedSecret, SettingValue},
    node::MAX_PLANS,
    plan::Said,
    routing, secrets,
};
use crate::store::control::Error as CommitError;

/// How a rotation went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The installation's own keys.
    pub secrets: usize,
    /// Documents of earlier versions, which sealed with the master key itself.
    pub documents: usize,
}

/// Adds a signing key that signs from `active_from` on.
pub(super) fn new_signing_key(scene: &Scene<'_>, plan: &mut Plan, active_from: Timestamp) {
    let id = KeyId::new(scene.now, scene.clock.random());
    let name = format!("{}{id}", secrets::SIGNING);
    plan.create(&secrets::seal(&name, id.uuid(), &scene.clock.random(), active_from, scene.keyring));
}

impl Control {
    /// Signs new tokens with a new key from ten seconds on, when every node has it; the old ones verify until the last
    /// token that they may have signed has ended.
    ///
    /// # Errors
    /// The store is away.
    pub async fn rotate_signing_key(&self, actor: &Actor) -> Result<(), Error> {
        let lifetime = self.options.access_token;
        self.change(|scene| {
            let mut plan = Plan::default();
            let active_from = scene.now + secrets::SIGNING_LEAD;
            new_signing_key(scene, &mut plan, active_from);
            for kept in scene.snapshot.secrets().filter(|kept| kept.name.starts_with(secrets::SIGNING)) {
                if kept.retires_at.is_none() {
                    // Twice the lead: a node that is late may still sign with the old key for a moment.
                    let retires_at = Some(active_from + secrets::SIGNING_LEAD + lifetime);
                    plan.update(kept, &SealedSecret { retires_at, ..kept.value.clone() });
                } else if kept.retires_at.is_some_and(|end| end < scene.now) {
                    plan.delete(kept);
                }
            }
            plan.log(scene, actor, Said { action: "signing_key.rotated", object: "installation".into(), ..Default::default() });
            Ok((plan, ()))
        })
        .await
    }

    /// Seals again, under the first key of the master key file, whatever the control plane keeps sealed.
    ///
    /// # Errors
    /// The store is away, or something was sealed with a key that is no longer in the file.
    pub async fn seal_again(&self, actor: &Actor) -> Result<Resealed, Error> {
        self.change(|scene| {
            let (mut plan, mut done) = (Plan::default(), Resealed::default());
            for kept in scene.snapshot.secrets() {
                if let Some(again) = secrets::seal_again(&kept.value, scene.keyring)? {
                    plan.update(kept, &again);
                    done.secrets += 1;
                }
            }
            let sealing = scene.sealing();
            for kept in scene.snapshot.erasures() {
                if let Some(again) = erasures::seal_again(&kept.value, sealing)? {
                    plan.update(kept, &again);
                    done.documents += 1;
                }
            }
            for kept in scene.snapshot.revisions() {
                let mut revision = kept.value.clone();
                let mut changed = false;
                let values = revision.document.providers.iter_mut().flat_map(|provider| provider.settings.values_mut());
                for value in values.filter(|value| matches!(value, SettingValue::Sealed { .. })) {
                    changed |= routing::seal_again(value, sealing)?;
                }
                if changed {
                    plan.update(kept, &revision);
                    done.documents += 1;
                }
            }
            if !plan.is_empty() {
                let after = serde_json::json!({"secrets": done.secrets, "documents": done.documents, "key": scene.keyring.fingerprint()});
                plan.log(
                    scene,
                    actor,
                    Said { action: "master_key.rotated", object: "installation".into(), after: Some(after), ..Default::default() },
                );
            }
            Ok((plan, done))
        })
        .await
    }

    /// The keys of audit chain, look-ups and tokens, made by whichever node is first.
    pub(super) async fn make_secrets(&self) -> Result<(), Error> {
        for _ in 0..MAX_PLANS {
            let snapshot = self.snapshot.load_full();
            let now = self.clock.now();
            let scene = Scene { snapshot: &snapshot, now, clock: &self.clock, keyring: &self.keyring };
            let mut plan = Plan::default();
            let mut chain_key = snapshot.opened().audit().cloned();
            for name in [secrets::AUDIT, secrets::DATA, secrets::LOOKUP, secrets::REFRESH] {
                if snapshot.secret(name).is_none() {
                    let plain = self.clock.random::<32>();
                    if name == secrets::AUDIT {
                        chain_key = Some(ChainKey::new(&plain));
                    }
                    plan.create(&secrets::seal(name, scene.uuid(), &plain, now, &self.keyring));
                }
            }
            if snapshot.opened().signing(now).is_none() {
                new_signing_key(&scene, &mut plan, now);
            }
            if plan.is_empty() {
                return Ok(());
            }
            let actor = Actor::own(ActorId::system());
            plan.log(&scene, &actor, Said { action: "installation.keys_made", object: "installation".into(), ..Default::default() });
            match self.commit(plan, chain_key, now).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Exists { .. }) => drop(self.refresh().await?),
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }
}
