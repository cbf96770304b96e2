//! Obeying what people said about providers: each word once, at every desk.

use tidings_core::{
    fleet::{Command, Order},
    time::Moment,
};

use super::{Desk, Desks};
use crate::clock::Clock;

/// What stands for one provider.
#[derive(Clone, Debug)]
pub struct Steer {
    pub provider: String,
    /// Grows with every change of it.
    pub revision: i64,
    /// `None`: health decides.
    pub command: Option<Command>,
    pub weight: Option<u32>,
    pub actor: String,
    pub reason: String,
}

impl Desks {
    /// Carries out what is new of it.
    pub fn obey(&self, clock: &Clock, steers: impl Iterator<Item = Steer>) {
        let now = clock.moment();
        let mut obeyed = self.obeyed();
        for steer in steers {
            if obeyed.get(&steer.provider).is_some_and(|(revision, _)| *revision >= steer.revision) {
                continue;
            }
            let before = obeyed.insert(steer.provider.clone(), (steer.revision, steer.clone()));
            for desk in self.all() {
                desk.obey(now, &steer, before.as_ref().map(|(_, before)| before));
                let events = desk.fleet().take_events();
                self.tell(clock.now(), &desk, events);
            }
        }
    }
}

impl Desk {
    fn obey(&self, now: Moment, steer: &Steer, before: Option<&Steer>) {
        let Some(place) = self.place(&steer.provider) else { return };
        let order = |command| Order { command, actor: steer.actor.clone(), reason: steer.reason.clone() };
        let mut fleet = self.fleet();
        let earlier = before.and_then(|before| before.command);
        if earlier != steer.command {
            let undo = match earlier {
                Some(Command::Pause) => Some(Command::Resume),
                Some(Command::Pin) => Some(Command::Unpin),
                _ => None,
            };
            if let Some(command) = steer.command.or(undo) {
                fleet.order(now, place, &order(command));
            }
        }
        if before.and_then(|before| before.weight) != steer.weight {
            fleet.order(now, place, &order(Command::Weight(steer.weight)));
        }
        drop(fleet);
        // Whoever waits looks again: there may be room now, or less of it.
        self.freed.all();
    }
}
