//! What nobody needs any more leaves by itself: token families after their end, signing keys after their last token,
//! deleted documents after every node has heard of it.

use std::time::Duration;

use super::{Control, Plan, secrets};

/// A family's end is checked by each node's own clock; clocks may differ by this much.
const GRACE: Duration = Duration::from_secs(600);
/// A node that was away for longer than this starts anew from the whole.
const DELETED_FOR: Duration = Duration::from_secs(7 * 86_400);
/// So many documents in one commit at most.
const BATCH: usize = 500;

impl Control {
    /// One round. Failures wait for the next: nothing depends on it.
    pub(super) async fn tidy(&self) {
        let done = self
            .change(|scene| {
                let mut plan = Plan::default();
                let over = |end: tidings_core::time::Timestamp| end + GRACE < scene.now;
                for family in scene.snapshot.families().filter(|family| over(family.expires_at)).take(BATCH) {
                    plan.delete(family);
                }
                let retired =
                    |name: &str, end: Option<tidings_core::time::Timestamp>| name.starts_with(secrets::SIGNING) && end.is_some_and(over);
                for secret in scene.snapshot.secrets().filter(|secret| retired(&secret.name, secret.retires_at)) {
                    plan.delete(secret);
                }
                Ok((plan, ()))
            })
            .await;
        let forgotten = self.store.forget_deleted(self.clock.now() - DELETED_FOR).await;
        if done.is_err() || forgotten.is_err() {
            tracing::debug!("the control plane could not be tidied; the next round will");
        }
    }
}
