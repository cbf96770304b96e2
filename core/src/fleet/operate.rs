//! What people see and say: views, pauses, pins and weights. What a person said stands until a person takes it back.

use std::sync::Arc;

use super::{Command, Event, EventKind, Fleet, Member, Operator, Order, ProviderView, State};
use crate::{health::Standing, time::Moment};

impl Member {
    /// The factor that its weight is scaled by now.
    pub(super) fn factor(&self, now: Moment) -> f64 {
        match (self.operator, self.health.standing(now)) {
            (Operator::Paused, _) => 0.0,
            (Operator::Pinned, _) => 1.0,
            (Operator::Silent, Standing::Open { factor } | Standing::Doubted { factor }) => factor,
            (Operator::Silent, _) => 0.0,
        }
    }

    /// 0–100. What health says, also for a provider that a person has paused or pinned.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a factor is between 0 and 1")]
    pub(super) fn score(&self, now: Moment) -> u8 {
        match self.health.standing(now) {
            Standing::Open { factor } | Standing::Doubted { factor } => (factor * 100.0).round() as u8,
            Standing::Probe | Standing::Suspected | Standing::Out { .. } => 0,
        }
    }

    pub(super) fn state(&self, now: Moment) -> State {
        match self.operator {
            Operator::Paused => State::Paused,
            Operator::Pinned => State::Pinned,
            Operator::Silent => self.health.state(now),
        }
    }
}

impl Fleet {
    /// Carries out what a person asks. False if there is no such provider.
    pub fn order(&mut self, now: Moment, provider: usize, order: &Order) -> bool {
        let Some(member) = self.members.get_mut(provider) else { return false };
        let kind = match order.command {
            Command::Pause => {
                member.operator = Operator::Paused;
                EventKind::Paused
            }
            Command::Resume if member.operator == Operator::Paused => {
                member.operator = Operator::Silent;
                EventKind::Resumed
            }
            Command::Pin => {
                member.operator = Operator::Pinned;
                EventKind::Pinned
            }
            Command::Unpin if member.operator == Operator::Pinned => {
                member.operator = Operator::Silent;
                EventKind::Unpinned
            }
            Command::Resume | Command::Unpin => return true,
            Command::Weight(weight) => {
                member.weight_set = weight;
                EventKind::WeightSet
            }
        };
        let (provider, state) = (Arc::clone(&member.spec.name), member.state(now));
        let (actor, reason) = (Some(order.actor.clone()), Some(order.reason.clone()));
        self.record(Event { at: now, provider, kind, state, reading: None, actor, reason, adopted: false, again: false });
        true
    }

    /// Every provider as it is now, by place.
    pub fn view(&mut self, now: Moment) -> Vec<ProviderView> {
        let effective: Vec<f64> = self.members.iter().map(|member| f64::from(member.weight()) * member.factor(now)).collect();
        let total: f64 = effective.iter().sum();
        let mut views = Vec::with_capacity(self.members.len());
        for (place, (member, effective)) in self.members.iter().zip(effective).enumerate() {
            views.push(ProviderView {
                name: Arc::clone(&member.spec.name),
                state: member.state(now),
                score: member.score(now),
                weight: member.weight(),
                effective_share: if total > 0.0 { effective / total } else { 0.0 },
                in_flight: member.in_flight,
                limit_per_s: self.limits.per_s(now, place),
                signals: member.health.readings(now),
            });
        }
        views
    }
}
