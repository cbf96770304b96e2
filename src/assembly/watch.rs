//! Looking at the services behind a process, again and again: what `readyz` says, what is shed, what metrics show.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    accept::Accept,
    api::{Dependency, DependencyStatus, Health, Readiness},
    assembly::{Lack, Rung, Service},
    config::Config,
    store::Messages,
    telemetry::Metrics,
};

const LOOK: Duration = Duration::from_millis(500);
/// A service that does not answer within this is away: a frozen one still completes connects.
const PATIENCE: Duration = Duration::from_secs(2);
/// Watches on behalf of one process.
pub struct Watch {
    pub config: Config,
    pub rung: Arc<Rung>,
    pub messages: Arc<dyn Messages>,
    pub accept: Arc<Accept>,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
}

impl Watch {
    pub async fn run(self, stop: CancellationToken) {
        let mut before: Vec<Service> = Vec::new();
        loop {
            let services = self.look().await;
            for service in &services {
                let was_up = before.iter().find(|known| known.name == service.name).is_none_or(|known| known.up);
                let lost = |service: &Service| matches!(service.lacks, Some(Lack::Lost(_)));
                let lacked = before.iter().any(|known| known.name == service.name && lost(known));
                match (lacked, &service.lacks) {
                    (false, Some(Lack::Lost(lack))) => tracing::error!(name = service.name, lack, "a part of a service is away"),
                    (true, None) if service.up => tracing::info!(name = service.name, "a service is whole again"),
                    _ => {}
                }
                match (was_up, service.up) {
                    (false, true) => tracing::info!(name = service.name, "a service is back"),
                    (true, false) => tracing::error!(name = service.name, degrades = service.degrades, "a service is away"),
                    _ => {}
                }
            }
            before = services;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&self) -> Vec<Service> {
        let services = self.rung.services(PATIENCE).await;
        let free = free_share(&self.config);
        self.metrics.disk_free_ratio.set(free);
        let control = &self.accept.control;
        self.metrics.control.snapshot_age.set(self.accept.clock.now().since(control.confirmed_at()).as_secs_f64());
        if let Ok(Ok(waiting)) = tokio::time::timeout(PATIENCE, self.messages.waiting(self.accept.clock.now())).await {
            let waiting = waiting.iter().map(|lane| lane.messages).sum();
            self.accept.room.observed(waiting, (free * 100.0) as u8);
        }
        let mut health = Health::Ready;
        for service in &services {
            self.metrics.dependency_up(service.name, service.up);
            health = match (service.up, service.vital) {
                (true, _) if health == Health::Ready && matches!(service.lacks, Some(Lack::Lost(_))) => Health::Degraded,
                (true, _) => health,
                (false, true) => Health::NotReady,
                (false, false) if health == Health::NotReady => health,
                (false, false) => Health::Degraded,
            };
        }
        let dependency = |service: &Service| Dependency {
            name: service.name,
            status: if service.up { DependencyStatus::Up } else { DependencyStatus::Down },
            degrades: match &service.lacks {
                _ if !service.up => service.degrades.to_owned(),
                lack => lack.as_ref().map_or_else(String::new, |lack| lack.text().to_owned()),
            },
        };
        self.readiness.observed(health, services.iter().map(dependency).collect());
        services
    }
}

/// Free share of the disk that `data_dir` lies on, 0 to 1; full marks where the system does not tell.
fn free_share(config: &Config) -> f64 {
    match rustix::fs::statvfs(&config.data_dir) {
        Ok(disk) if disk.f_blocks > 0 => disk.f_bavail as f64 / disk.f_blocks as f64,
        _ => 1.0,
    }
}
