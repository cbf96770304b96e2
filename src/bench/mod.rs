//! `tidings bench`: what this machine gives, measured against a bare relay in the same run.
//!
//! Figures of different runs and machines do not compare, so every row measures Tidings and a [`relay`] (the same HTTP
//! server and client, nothing durable, no routing, no status) in turn, three rounds, and reports medians and ratios. The
//! load ([`load`]) and the vendor ([`sink`]) speak HTTP over plain sockets and cost a fraction of what they measure; they
//! share the machine, and the report says what CPU each side used. A message counts as delivered when the vendor has it.

mod figures;
mod ladder;
pub mod load;
mod process;
mod production;
pub mod relay;
mod rows;
mod seed;
mod sink;
mod subject;
mod suite;
mod table;
mod wire;

pub use self::{
    suite::{Part, Scale, profile, run},
    table::run as messages_table,
};
