//! Tidings: a highly available SMS and notification platform.
//!
//! The journey of one message, module by module: `accept` makes it durable through [`store`]; `delivery` takes it, asks
//! `core` where to go, submits it to a provider and settles the outcome; `receipts` bring what became of it.
//! `docs/ARCHITECTURE.md` is the map.

pub mod accept;
pub mod admin_backend;
pub mod api;
pub mod assembly;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod delivery;
pub mod queue;
pub mod receipts;
pub mod recorder;
pub mod retention;
pub mod seal;
pub mod server;
pub mod shared;
pub mod shutdown;
pub mod simulate_provider;
pub mod single_sign_on;
pub mod store;
pub mod telemetry;
