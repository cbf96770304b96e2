//! `tidings simulate-provider`: a vendor over HTTP that misbehaves on demand and keeps the only honest count.
//!
//! It serves `POST /send` (the default body of provider kind `http`) and a control API that switches every behaviour at run
//! time. What it *processed*, by message id, is the verdict of the fault tests: a message may have been sent exactly as
//! often as this process says, whatever Tidings believes. Half of a call's latency passes before it counts as processed and
//! half after, so that a caller that dies leaves both kinds of open call behind.
//!
//! [`behaviour`] is what can be switched, [`submit`] answers, [`ledger`] counts, [`reports`] sends receipts, [`control`] is
//! the API for all of it, [`wire`] can reset a connection and stop listening.

mod behaviour;
mod control;
mod ledger;
mod reports;
mod submit;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use axum::{Router, routing::any};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{net::TcpListener, sync::watch};

pub use self::behaviour::{Behaviour, Receipts};
use self::{ledger::Ledger, reports::Reporter, wire::Switchable};

/// The state of one simulated vendor.
pub struct Vendor {
    behaviour: ArcSwap<Behaviour>,
    /// Follows `behaviour.refuse`: the listener closes while it is true.
    refuse: watch::Sender<bool>,
    ledger: Ledger,
    reporter: Reporter,
    dice: Mutex<SmallRng>,
    /// Stands before the numbers in message ids, so that they stay unique when the process is started again.
    run: u32,
}

/// Two listeners: the vendor's own, and one for control that stays open while the vendor refuses connections.
pub struct Listeners {
    vendor: TcpListener,
    control: TcpListener,
}

impl Listeners {
    pub async fn bind(vendor: SocketAddr, control: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { vendor: TcpListener::bind(vendor).await?, control: TcpListener::bind(control).await? })
    }

    /// The addresses of the vendor and of its control.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.vendor.local_addr()?, self.control.local_addr()?))
    }
}

impl Vendor {
    pub fn new(behaviour: Behaviour, seed: u64) -> Result<Arc<Self>, reqwest::Error> {
        let mut dice = SmallRng::seed_from_u64(seed);
        Ok(Arc::new(Self {
            refuse: watch::Sender::new(behaviour.refuse),
            behaviour: ArcSwap::from_pointee(behaviour),
            ledger: Ledger::default(),
            reporter: Reporter::new()?,
            run: dice.random(),
            dice: Mutex::new(dice),
        }))
    }

    /// Serves until the process ends.
    pub async fn serve(self: Arc<Self>, listeners: Listeners) -> std::io::Result<()> {
        let vendor = Router::new()
            .route("/send", any(submit::submit))
            .merge(control::routes())
            .with_state(Arc::clone(&self))
            .into_make_service_with_connect_info::<wire::Connection>();
        let control = control::routes().with_state(Arc::clone(&self));
        let switchable = Switchable::new(listeners.vendor, self.refuse.subscribe())?;
        tokio::try_join!(async { axum::serve(switchable, vendor).await }, async { axum::serve(listeners.control, control).await })?;
        Ok(())
    }

    fn switch(&self, behaviour: Behaviour) {
        self.refuse.send_replace(behaviour.refuse);
        self.behaviour.store(Arc::new(behaviour));
    }

    /// True in this share of the cases; costs nothing where the share is none.
    fn happens(&self, share: f64) -> bool {
        share > 0.0 && self.dice.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>() < share
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
