//! Messages that wait, served in the order of arrival.
//!
//! Messages of one worker that have tried the same providers get the same answer, so they stand in one line; once the first
//! of a line has to wait, nobody behind it is asked. That keeps a queue of thousands as cheap as one of ten.

use std::collections::BTreeMap;

use crate::{retry::ProviderSet, time::Moment};

/// What became of a message that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It has gone, or waits elsewhere.
    Done,
    /// It stays, and may go at this time.
    Wait(Moment),
}

type Line = (usize, ProviderSet);

#[derive(Default)]
pub struct Waiting {
    /// By line: numbers in the order of arrival, and the messages' places.
    lines: BTreeMap<Line, BTreeMap<u64, usize>>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn add(&mut self, line: Line, number: u64, message: usize) {
        self.lines.entry(line).or_default().insert(number, message);
    }

    /// Serves the earliest of all lines again and again, until the first of every line has to wait.
    pub fn serve(&mut self, mut serve: impl FnMut(u64, usize) -> Served) {
        let mut blocked: Vec<Line> = Vec::new();
        loop {
            let first = |queue: &BTreeMap<u64, usize>| queue.first_key_value().map(|(number, message)| (*number, *message));
            let next = self
                .lines
                .iter()
                .filter(|(line, _)| !blocked.contains(line))
                .filter_map(|(line, queue)| first(queue).map(|(number, message)| (number, message, *line)))
                .min();
            let Some((number, message, line)) = next else { break };
            match serve(number, message) {
                Served::Wait(_) => blocked.push(line),
                Served::Done => {
                    if let Some(queue) = self.lines.get_mut(&line) {
                        queue.remove(&number);
                        if queue.is_empty() {
                            self.lines.remove(&line);
                        }
                    }
                }
            }
        }
    }
}
