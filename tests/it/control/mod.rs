//! The control plane: identity, approval, audit, and what they mean on the send path.

mod approval;
mod away;
mod bootstrap;
mod cut;
mod erasure;
mod identity_provider;
mod log;
mod people;
mod rights;
mod sign_on;
mod suspension;
mod tokens;
mod world;
