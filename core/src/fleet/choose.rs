//! Choosing: who may be asked, who has room, who of them it is.
//!
//! The order of questions matters. Price and people first, because nothing changes them while a message waits; health next;
//! limits last, because asking for room registers the lane as waiting. A provider that wants a probe gets the first message
//! that may be spent on it. If all are out, the message waits: pacing belongs to health, not to the number of messages.

use smallvec::SmallVec;

use super::{Ask, Because, Choice, Fleet, Manner, Member, Operator, Passed, Ticket, WaitReason, Why};
use crate::{
    health::{LastResort, Probe, Standing},
    limits::{ASK_AGAIN, Departure, Full, Limits},
    select::{Candidate, Candidates},
    time::Moment,
};

/// How soon to ask again where people have paused everybody.
const PAUSED: std::time::Duration = std::time::Duration::from_secs(1);
/// A wait is never shorter.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);

/// What a look at all candidates has found.
#[derive(Default)]
struct Survey {
    open: Candidates,
    /// They would take it, but have just said that they are asked too much, or some of their calls are late.
    spared: Candidates,
    probe: Option<usize>,
    passed: SmallVec<[Passed; 2]>,
    /// Sum of configured weights over all candidates.
    of: u32,
    /// Somebody could be asked who was tried already.
    tried: bool,
    /// When somebody who may be asked has room, and why not now.
    room: Option<(Moment, WaitReason, usize)>,
    /// When somebody who is out may be asked.
    back: Option<Moment>,
    paused: bool,
}

impl Survey {
    fn pass(&mut self, member: &Member, because: Because) {
        self.passed.push(Passed { provider: std::sync::Arc::clone(&member.spec.name), because });
    }

    fn wait_for_room(&mut self, at: Moment, reason: WaitReason, place: usize) {
        if self.room.is_none_or(|(earliest, ..)| at < earliest) {
            self.room = Some((at, reason, place));
        }
    }

    fn out_until(&mut self, at: Moment) {
        self.back = Some(self.back.map_or(at, |earliest| earliest.min(at)));
    }
}

impl Member {
    /// Whether nothing but health speaks against it for this message.
    fn may_serve(&self, ask: &Ask<'_>) -> bool {
        self.operator == Operator::Silent && ask.max_price.is_none_or(|most| self.spec.price.times(ask.segments) <= most)
    }

    fn candidate(&self, place: usize, factor: f64) -> Candidate {
        Candidate {
            place,
            weight: f64::from(self.weight()) * factor,
            factor,
            in_flight: self.in_flight,
            latency_s: self.health.latency_s(),
            price: self.spec.price,
        }
    }
}

impl Fleet {
    /// A call that was written down goes out now; latency counts from here.
    pub fn sent(&mut self, now: Moment, ticket: &mut Ticket) {
        let chosen = std::mem::replace(&mut ticket.started, now);
        let held = std::mem::take(&mut ticket.held);
        if let Some(place) = self.place_of(ticket) {
            let member = &mut self.members[place];
            member.held = member.held.saturating_sub(u32::from(held));
            self.limits.sent((chosen, ticket.place.unwrap_or(chosen)), now, place, ticket.segments);
            self.members[place].health.sent(now, ticket.call, chosen, ticket.probe);
        }
    }

    /// Chooses a provider for a message and takes limit and slot for the call, or says when to ask again.
    pub fn choose(&mut self, now: Moment, ask: &Ask<'_>) -> Choice {
        let mut limits = std::mem::take(&mut self.limits);
        let choice = self.choose_within(&mut limits, now, ask);
        self.limits = limits;
        choice
    }

    /// The same with limits that several fleets share, as the simulator's workers do.
    pub(crate) fn choose_within(&mut self, limits: &mut Limits, now: Moment, ask: &Ask<'_>) -> Choice {
        let mut survey = self.survey(limits, now, ask);
        if let Some(place) = survey.probe {
            return Choice::Call(self.ticket(limits, now, ask, place, Manner::Probe, survey));
        }
        if survey.open.is_empty() && survey.room.is_none() && survey.back.is_some() {
            let all_out = !survey.tried;
            if let Some(choice) = self.partly_ill(limits, now, ask, &mut survey, super::Health::still_serves) {
                return choice;
            }
            if all_out {
                let choice = self.least_bad(limits, now, ask, &mut survey);
                // Who was tried by those that fail a part of their calls has had its round: the next one is better than a wait.
                return if survey.tried && matches!(choice, Choice::Wait { .. }) { Choice::Exhausted } else { choice };
            }
        }
        if let Some(place) = self.selector.pick(ask.select, &survey.open, ask.key, &mut self.dice) {
            let manner = if survey.open.len() == 1 && !survey.passed.is_empty() { Manner::Only } else { Manner::Selected(ask.select) };
            return Choice::Call(self.ticket(limits, now, ask, place, manner, survey));
        }
        if survey.room.is_some() && survey.back.is_some() {
            for place in ask.candidates {
                if let Some(member) = self.members.get_mut(*place) {
                    member.health.press(now);
                }
            }
            if let Some(choice @ Choice::Call(_)) = self.partly_ill(limits, now, ask, &mut survey, |health| health.takes_overflow(now)) {
                return choice;
            }
        }
        match survey {
            Survey { room: Some((until, reason, place)), .. } => Choice::Wait { until, reason, provider: Some(place) },
            Survey { tried: true, .. } => Choice::Exhausted,
            Survey { back: Some(until), .. } => Choice::Wait { until, reason: WaitReason::AllOut, provider: None },
            Survey { paused: true, .. } => Choice::Wait { until: now + PAUSED, reason: WaitReason::Paused, provider: None },
            _ => Choice::NoCandidate,
        }
    }

    /// Nobody who serves is left, or has room, but some who are out fail only a part of their calls: as far as `serves` says so of
    /// them, they share the traffic as if they had not been ejected. A retry is better than a long wait, or than a backoff that the
    /// budget pays for.
    fn partly_ill(
        &mut self,
        limits: &mut Limits,
        now: Moment,
        ask: &Ask<'_>,
        survey: &mut Survey,
        serves: impl Fn(&super::Health) -> bool,
    ) -> Option<Choice> {
        for &place in ask.candidates {
            let Some(member) = self.members.get(place).filter(|it| it.may_serve(ask) && serves(&it.health)) else { continue };
            if ask.tried.contains(place) {
                survey.tried = true;
                continue;
            }
            match limits.room(now, place, ask.segments, ask.lane) {
                Ok(()) => survey.open.push(member.candidate(place, 1.0)),
                Err(Full::Rate(at)) => survey.wait_for_room(at, WaitReason::Rate, place),
                Err(Full::InFlight) => survey.wait_for_room(now + ASK_AGAIN, WaitReason::InFlight, place),
            }
        }
        match (self.selector.pick(ask.select, &survey.open, ask.key, &mut self.dice), survey.room) {
            (Some(place), _) => Some(Choice::Call(self.ticket(limits, now, ask, place, Manner::PartlyIll, std::mem::take(survey)))),
            (None, Some((until, reason, place))) => Some(Choice::Wait { until, reason, provider: Some(place) }),
            (None, None) => None,
        }
    }

    /// Everybody is out: the least bad gets one call at a pace, everything else waits and uses nothing.
    fn least_bad(&mut self, limits: &mut Limits, now: Moment, ask: &Ask<'_>, survey: &mut Survey) -> Choice {
        let mut best: Option<(LastResort, usize)> = None;
        let mut tried_at = Moment::ZERO;
        for &place in ask.candidates {
            let Some(member) = self.members.get(place).filter(|member| member.operator == Operator::Silent) else { continue };
            let Some(resort) = member.health.last_resort(now) else { continue };
            tried_at = tried_at.max(resort.tried_at);
            let may_take_it = ask.max_price.is_none_or(|most| member.spec.price.times(ask.segments) <= most) && !ask.tried.contains(place);
            if may_take_it && best.is_none_or(|best| (resort, place) < best) {
                best = Some((resort, place));
            }
        }
        let mut until = survey.back.unwrap_or(now + ASK_AGAIN).min(now + ASK_AGAIN.saturating_mul(10));
        // Where some fail only a part of their calls, finding out about the others may cost nothing but a call.
        if let Some((resort, place)) = best.filter(|(resort, _)| resort.askable && !(survey.tried && resort.costly)) {
            let at = tried_at + resort.pace;
            if at <= now && limits.room(now, place, ask.segments, ask.lane).is_ok() {
                return Choice::Call(self.ticket(limits, now, ask, place, Manner::LeastBad, std::mem::take(survey)));
            }
            until = until.min(at);
        }
        Choice::Wait { until: until.max(now + MOMENT), reason: WaitReason::AllOut, provider: None }
    }

    fn survey(&mut self, limits: &mut Limits, now: Moment, ask: &Ask<'_>) -> Survey {
        let mut survey = Survey::default();
        for &place in ask.candidates {
            let Some(member) = self.members.get_mut(place) else { continue };
            member.health.refresh(now, &mut self.dice);
            survey.of = survey.of.saturating_add(member.weight());
            if ask.max_price.is_some_and(|most| member.spec.price.times(ask.segments) > most) {
                survey.pass(member, Because::Price);
                continue;
            }
            let standing = match member.operator {
                Operator::Paused => {
                    survey.paused = true;
                    survey.pass(member, Because::Paused);
                    continue;
                }
                Operator::Pinned => Standing::Open { factor: 1.0 },
                Operator::Silent => member.health.standing(now),
            };
            let factor = match standing {
                Standing::Open { factor } | Standing::Doubted { factor } => factor,
                Standing::Probe => 0.0,
                Standing::Suspected => {
                    // Whoever waits has a place in line: one answer may let all of them go.
                    limits.refused(now, place, ask.lane, now + ASK_AGAIN);
                    survey.out_until(now + ASK_AGAIN);
                    survey.pass(member, Because::Suspected);
                    continue;
                }
                Standing::Out { signal, since, until } => {
                    survey.out_until(until);
                    let seconds = u32::try_from(now.since(since).as_secs()).unwrap_or(u32::MAX);
                    survey.pass(member, Because::Out(signal, seconds));
                    continue;
                }
            };
            if ask.tried.contains(place) {
                survey.tried = true;
                survey.pass(member, Because::Tried);
                continue;
            }
            // What is being written down is no evidence, and a slow disk no reason to shut a provider.
            if member.calls_out() >= member.health.in_flight_cap(now) && member.operator == Operator::Silent {
                // Also this wait has its lane's precedence: the next slot is not for a lower one.
                limits.refused(now, place, ask.lane, now + ASK_AGAIN);
                survey.wait_for_room(now + ASK_AGAIN, WaitReason::InFlight, place);
                survey.pass(member, Because::InFlight);
                continue;
            }
            match limits.room(now, place, ask.segments, ask.lane) {
                Ok(()) if standing == Standing::Probe => survey.probe = survey.probe.or(Some(place)),
                Ok(()) if now < member.eased_until || matches!(standing, Standing::Doubted { .. }) => {
                    survey.spared.push(member.candidate(place, factor))
                }
                Ok(()) => survey.open.push(member.candidate(place, factor)),
                Err(Full::Rate(at)) => {
                    survey.wait_for_room(at, WaitReason::Rate, place);
                    survey.pass(member, Because::Rate);
                }
                Err(Full::InFlight) => {
                    survey.wait_for_room(now + ASK_AGAIN, WaitReason::InFlight, place);
                    survey.pass(member, Because::InFlight);
                }
            }
        }
        if survey.open.is_empty() {
            std::mem::swap(&mut survey.open, &mut survey.spared);
        }
        survey
    }

    fn ticket(&mut self, limits: &mut Limits, now: Moment, ask: &Ask<'_>, place: usize, manner: Manner, survey: Survey) -> Ticket {
        limits.take(now, place, ask.segments, ask.lane);
        self.tickets += 1;
        let probe = match manner {
            Manner::Probe => Some(Probe::Due),
            Manner::LeastBad => Some(Probe::LeastBad),
            Manner::Selected(_) | Manner::Only | Manner::PartlyIll => None,
        };
        ask.candidates.iter().filter(|other| **other != place).for_each(|other| limits.served_elsewhere(*other, ask.lane));
        let member = &mut self.members[place];
        member.in_flight += 1;
        let more = limits.has_room_for_waiting(now, place) && member.calls_out() < member.health.in_flight_cap(now);
        let call = member.health.started(now, probe);
        let probe = probe.is_some();
        let held = limits.departure() == Departure::WrittenFirst;
        if held {
            member.held += 1;
            member.health.held(call, probe);
        }
        let why = Why { manner, score: member.score(now), weight: member.weight(), of: survey.of, passed: survey.passed };
        Ticket {
            id: self.tickets,
            provider: place,
            started: now,
            why,
            member: member.id,
            call,
            segments: ask.segments,
            lane: ask.lane,
            place: None,
            held,
            probe,
            more,
        }
    }
}
