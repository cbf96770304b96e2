//! No health at all: everyone in turn by weight, or the first of the list. A failure goes on to the next.

use super::baseline::Judge;
use crate::{select::Select, time::Moment};

/// Smooth weighted round robin over everybody.
pub struct RoundRobin;

impl Judge for RoundRobin {
    fn weight(&mut self, _now: Moment, _worker: usize, _provider: usize, configured: f64) -> f64 {
        configured
    }
}

/// The first of the list, always.
pub struct Priority;

impl Judge for Priority {
    fn select(&self) -> Select {
        Select::Priority
    }

    fn weight(&mut self, _now: Moment, _worker: usize, _provider: usize, _configured: f64) -> f64 {
        1.0
    }
}
