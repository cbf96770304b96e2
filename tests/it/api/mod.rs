//! The HTTP contract, against the real router of a whole node in this process.

mod batch;
mod contract;
mod described;
mod fuzz;
mod idempotency;
mod refusals;
mod schema;
mod send;
mod shell;
