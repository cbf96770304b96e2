//! Pausing, pinning and weighing providers by hand.

use serde_json::json;
use tidings_core::fleet::Command;

use super::{
    Actor, Control, Error, Plan,
    model::{Hand, Steering},
    plan::Said,
    snapshot::Kept,
};
use crate::delivery::Steer;

const MAX_REASON_CHARS: usize = 500;
/// As in a routing revision.
const MAX_WEIGHT: u32 = 1_000_000;

impl Control {
    /// What stands for every provider.
    pub fn steers(&self) -> impl Iterator<Item = Steer> {
        let snapshot = self.snapshot();
        let all: Vec<Steer> = snapshot.steerings().map(|kept| steer(kept)).collect();
        all.into_iter()
    }

    /// Writes down what a person wants of a provider; every node obeys within a second or two.
    ///
    /// # Errors
    /// No revision in force has such a provider, there is no reason, the store is away.
    pub async fn steer(&self, actor: &Actor, provider: &str, command: Command, reason: &str) -> Result<Steering, Error> {
        if !(1..=MAX_REASON_CHARS).contains(&reason.trim().chars().count()) {
            return Err(Error::invalid("/reason", "length", "must have 1 to 500 characters"));
        }
        if matches!(command, Command::Weight(Some(weight)) if weight > MAX_WEIGHT) {
            return Err(Error::invalid("/weight", "range", "must be between 0 and 1000000"));
        }
        self.change(|scene| {
            let known = scene.snapshot.routing().in_force().any(|revision| revision.document.provider(provider).is_some());
            if !known {
                return Err(Error::NotFound);
            }
            let kept = scene.snapshot.steering_of(provider);
            let before = kept.map(|kept| json!({"hand": kept.hand, "weight": kept.weight}));
            let (hand, weight) = kept.map_or((Hand::Free, None), |kept| (kept.hand, kept.weight));
            let (hand, weight, action) = obeyed(hand, weight, command);
            let next = Steering {
                id: kept.map_or_else(|| scene.uuid(), |kept| kept.id),
                provider: provider.to_owned(),
                hand,
                weight,
                by: actor.id.clone(),
                reason: reason.trim().to_owned(),
                at: scene.now,
            };
            let mut plan = Plan::default();
            match kept {
                Some(kept) => plan.update(kept, &next),
                None => plan.create(&next),
            }
            let after = Some(json!({"hand": hand, "weight": weight}));
            plan.log(scene, actor, Said { action, object: provider.to_owned(), before, after, reason: Some(&next.reason) });
            Ok((plan, next))
        })
        .await
    }
}

/// What stands after a command, and what the audit log calls it.
const fn obeyed(hand: Hand, weight: Option<u32>, command: Command) -> (Hand, Option<u32>, &'static str) {
    match (command, hand) {
        (Command::Pause, _) => (Hand::Paused, weight, "provider.paused"),
        (Command::Pin, _) => (Hand::Pinned, weight, "provider.pinned"),
        (Command::Resume, Hand::Paused) => (Hand::Free, weight, "provider.resumed"),
        (Command::Unpin, Hand::Pinned) => (Hand::Free, weight, "provider.unpinned"),
        (Command::Resume, _) => (hand, weight, "provider.resumed"),
        (Command::Unpin, _) => (hand, weight, "provider.unpinned"),
        (Command::Weight(weight), _) => (hand, weight, "provider.weight_set"),
    }
}

fn steer(kept: &Kept<Steering>) -> Steer {
    let command = match kept.hand {
        Hand::Free => None,
        Hand::Paused => Some(Command::Pause),
        Hand::Pinned => Some(Command::Pin),
    };
    Steer {
        provider: kept.provider.clone(),
        revision: kept.revision,
        command,
        weight: kept.weight,
        actor: kept.by.as_str().to_owned(),
        reason: kept.reason.clone(),
    }
}
