//! The operators' pages over a real node: journeys in a real browser, and what the deployment files rely on.

mod approval;
mod browser;
mod containers;
mod deploy;
mod journeys;
mod sign_on;
mod traces;
mod world;
