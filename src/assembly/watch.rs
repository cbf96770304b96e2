//! Looking at the services behind a process, again and again: what `readyz` says, what is shed, what metrics show.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    accept::Accept,
    api::{Dependency, DependencyStatus, Health, Readiness},
    config::Config,
    store::Messages,
    telemetry::Metrics,
};

const LOOK: Duration = Duration::from_millis(500);
/// A service that does not answer within this is away: a frozen one still completes connects.
const PATIENCE: Duration = Duration::from_secs(2);
/// The name under which the store stands in `readyz` and in metrics.
const DATABASE: &str = "database";

/// Watches on behalf of one process.
pub struct Watch {
    pub config: Config,
    pub messages: Arc<dyn Messages>,
    pub accept: Arc<Accept>,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
}

impl Watch {
    pub async fn run(self, stop: CancellationToken) {
        let mut was_up = true;
        loop {
            let up = self.look().await;
            if up != was_up {
                was_up = up;
                if up {
                    tracing::info!(name = DATABASE, "a service is back");
                } else {
                    tracing::error!(name = DATABASE, "a service is away");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&self) -> bool {
        let up = matches!(tokio::time::timeout(PATIENCE, self.messages.ping()).await, Ok(Ok(())));
        let free = free_share(&self.config);
        self.metrics.dependency_up(DATABASE, up);
        self.metrics.disk_free_ratio.set(free);
        if let Ok(waiting) = self.messages.waiting(self.accept.clock.now()).await {
            let waiting = waiting.iter().map(|lane| lane.messages).sum();
            self.accept.room.observed(waiting, (free * 100.0) as u8);
        }
        let status = if up { DependencyStatus::Up } else { DependencyStatus::Down };
        let degrades = if up { String::new() } else { "nothing can be accepted, delivered or looked up".to_owned() };
        let health = if up { Health::Ready } else { Health::NotReady };
        self.readiness.observed(health, vec![Dependency { name: DATABASE, status, degrades }]);
        up
    }
}

/// Free share of the disk that `data_dir` lies on, 0 to 1; full marks where the system does not tell.
fn free_share(config: &Config) -> f64 {
    match rustix::fs::statvfs(&config.data_dir) {
        Ok(disk) if disk.f_blocks > 0 => disk.f_bavail as f64 / disk.f_blocks as f64,
        _ => 1.0,
    }
}
