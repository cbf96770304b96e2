//! Health between processes: what this one's fleets know is told through [`Shared`], what others told is merged.
//!
//! Every fifth of a second, sooner when something happened. Summaries are kept for a few seconds only; they may be late, lost or
//! repeated, and while the shared service is away each process goes on with its own view. How old a summary is follows from the
//! wall clock of who told it, cut off at what a fast clock or a slow service could make of it.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tidings_core::{fleet::Summary, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Desk, Desks};
use crate::{clock::Clock, shared::Shared};

/// How often a process tells when nothing happened, and how often it looks.
const TELL_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than three summaries that were lost.
const KEEP: Duration = Duration::from_secs(3);
/// An older summary says nothing; a clock that is further off is not believed.
const OLDEST: Duration = Duration::from_secs(3);

#[derive(Serialize, Deserialize)]
struct Told {
    at: Timestamp,
    summary: Summary,
}

/// Tells and hears until `stopping`.
pub async fn run(desks: Arc<Desks>, shared: Arc<dyn Shared>, clock: Clock, stopping: CancellationToken) {
    let mut told_at = clock.moment();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let due = clock.moment().since(told_at) >= TELL_EVERY;
        if due {
            told_at = clock.moment();
        }
        for desk in desks.all() {
            let news = desk.fleet().take_news();
            // Away: the others go on without us, and we without them.
            if (news || due) && exchange(&desk, shared.as_ref(), &clock).await.is_err() {
                break;
            }
        }
    }
}

/// Tells what a desk's fleet knows and merges what others told about the same revision.
async fn exchange(desk: &Desk, shared: &dyn Shared, clock: &Clock) -> Result<(), crate::shared::Away> {
    let topic = format!("health.{}", desk.revision);
    let summary = desk.fleet().summary(clock.moment());
    let name = summary.process.to_string();
    let told = Told { at: clock.now(), summary };
    if let Ok(value) = serde_json::to_vec(&told) {
        shared.tell(&topic, &name, &value, KEEP).await?;
    }
    for (_, value) in shared.told(&topic).await? {
        let Ok(Told { at, summary }) = serde_json::from_slice(&value) else { continue };
        let delay = clock.now().since(at);
        if delay <= OLDEST {
            desk.fleet().merge(clock.moment(), &summary, delay);
        }
    }
    Ok(())
}
