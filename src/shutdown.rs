//! Ending: a first signal asks, a second one insists.
//!
//! After the first, readiness turns 503 while connections are still accepted, so that a balancer looks away before the door
//! closes; then what is under way is finished or handed back within the time that the configuration gives. Nothing that
//! was promised depends on this: a process that is killed loses nothing either, it only leaves more to find out.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice.
const INSISTED: i32 = 130;

/// Whether this process was asked to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Listens for SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The system refuses to tell us about signals.
    pub fn on_signals() -> std::io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::default();
        let asked = shutdown.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            };
            next().await;
            tracing::info!("asked to end: finishing what is under way");
            asked.0.cancel();
            next().await;
            tracing::warn!("asked again: ending at once");
            std::process::exit(INSISTED);
        });
        Ok(shutdown)
    }

    /// Asks as a signal would.
    pub fn ask(&self) {
        self.0.cancel();
    }

    pub fn is_asked(&self) -> bool {
        self.0.is_cancelled()
    }

    pub async fn asked(&self) {
        self.0.cancelled().await;
    }

    /// The token behind it, for tasks that end with the process.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}
