//! The control plane: identity, approval, audit, and what they mean on the send path.

mod bootstrap;
mod world;
