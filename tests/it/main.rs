//! One binary for everything that needs more than a function: suites over every backend, journeys, faults.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod api;
mod control;
mod delivery;
mod envelopes;
mod faults;
mod harness;
mod migrations;
mod patience;
mod servers;
mod suites;
mod torture;
