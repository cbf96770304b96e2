//! The control plane: identity, approval, audit, and what they mean on the send path.

mod approval;
mod away;
mod bootstrap;
mod log;
mod people;
mod rights;
mod tokens;
mod world;
