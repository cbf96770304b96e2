//! What processes tell each other.

use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::time::Moment;

/// What one process knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {}

impl Fleet {
    pub fn summary(&mut self, _now: Moment) -> Summary {
        Summary {}
    }

    pub fn merge(&mut self, _now: Moment, _summary: &Summary, _delay: std::time::Duration) {}
}
