//! The homemade switch: after three timeouts in a row everybody moves to the next provider of the list, and stays there
//! until that one times out three times in a row. Nothing brings the first one back.

use super::{Scenario, Turn, TurnKind, baseline::Judge};
use crate::{attempt::Outcome, select::Select, time::Moment};

const IN_A_ROW: u32 = 3;

pub struct ConsecutiveTimeouts {
    providers: usize,
    active: usize,
    in_a_row: u32,
    turns: Vec<Turn>,
}

impl ConsecutiveTimeouts {
    pub fn new(scenario: &Scenario) -> Self {
        Self { providers: scenario.providers.len(), active: 0, in_a_row: 0, turns: Vec::new() }
    }
}

impl Judge for ConsecutiveTimeouts {
    fn select(&self) -> Select {
        Select::Priority
    }

    /// The active one first, then those that come after it in the circle.
    #[expect(clippy::cast_precision_loss, reason = "few providers")]
    fn weight(&mut self, _now: Moment, _worker: usize, provider: usize, _configured: f64) -> f64 {
        let behind = (provider + self.providers - self.active) % self.providers;
        (self.providers - behind) as f64
    }

    fn ended(&mut self, now: Moment, _worker: usize, provider: usize, _started: Moment, outcome: Outcome) {
        if provider != self.active {
            return;
        }
        self.in_a_row = if outcome == Outcome::Ambiguous { self.in_a_row + 1 } else { 0 };
        if self.in_a_row >= IN_A_ROW && self.providers > 1 {
            let note = format!("{IN_A_ROW} timeouts in a row");
            self.turns.push(Turn { at: now, provider, kind: TurnKind::Ejected, note });
            self.active = (self.active + 1) % self.providers;
            self.in_a_row = 0;
        }
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }
}
