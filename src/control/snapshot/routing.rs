//! Which routing revision a recipient's messages go by: the one for everybody, or the one that is being tried.

use std::sync::Arc;

use super::{Kept, Snapshot};
use crate::control::model::RoutingRevision;

/// The revisions in force.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    pub base: Option<Arc<Kept<RoutingRevision>>>,
    /// The revision that is being tried, and for how many of a hundred recipients.
    pub trial: Option<(Arc<Kept<RoutingRevision>>, u8)>,
}

impl Snapshot {
    pub(super) fn routing_in_force(&self) -> Routing {
        let Some(state) = &self.routing_state else { return Routing::default() };
        Routing {
            base: self.revisions.get(&state.base).cloned(),
            trial: state.trial.and_then(|number| Some((self.revisions.get(&number)?.clone(), state.percent))),
        }
    }
}

impl Routing {
    /// The revision that this recipient's messages are routed by; `None` while nothing is configured.
    pub fn for_recipient(&self, to: &str) -> Option<&Arc<Kept<RoutingRevision>>> {
        match &self.trial {
            Some((trial, percent)) if bucket(to) < *percent => Some(trial),
            _ => self.base.as_ref(),
        }
    }

    /// Those in force, the one for everybody first.
    pub fn in_force(&self) -> impl Iterator<Item = &Arc<Kept<RoutingRevision>>> {
        self.base.iter().chain(self.trial.iter().map(|(revision, _)| revision))
    }
}

/// 0 to 99 by the recipient: the same on every node and in every version of the program (FNV-1a, then a finaliser, since
/// numbers differ in their last digits only).
pub fn bucket(to: &str) -> u8 {
    let mut hash = to.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    (hash % 100) as u8
}
