//! The control plane: identity, approval, audit, and what they mean on the send path.

mod approval;
mod away;
mod bootstrap;
mod caps;
mod commands;
mod cut;
mod erasure;
pub mod identity_provider;
mod log;
mod master_key;
mod nodes;
mod people;
mod requests;
mod rights;
mod rotation;
mod routing;
mod sign_on;
mod states;
mod suspension;
mod templates;
mod tokens;
mod world;
