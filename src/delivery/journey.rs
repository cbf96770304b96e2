//! The steps of a delivery, and what they need to remember between them.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tidings_core::{
    attempt::{Attempt, Ended, Outcome},
    fleet::{Ask, Choice, Ticket},
    message::{Message, Status},
    retry::{Course, Decision, Payment},
    time::{Moment, Timestamp},
};

use super::{
    AppEntry,
    desk::{Desk, Routing},
    worker::Worker,
};
use crate::{
    store::{Lease, Next, Taken},
    telemetry::metrics::{self, RetryPayer},
};

/// How long a message waits for room holding its permit; longer waits park.
const HOLD: Duration = Duration::from_secs(1);
/// The furthest ahead that a message parks for room: by then somebody may have recovered.
const PARK: Duration = Duration::from_secs(5);
/// Nothing parks for less.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long a suspended app's message, or one without a route, waits before somebody looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The code of an attempt whose worker died.
const INTERRUPTED: &str = "interrupted";

/// One message in a worker's hands.
pub struct Journey {
    pub(super) worker: Arc<Worker>,
    pub(super) desk: Arc<Desk>,
    pub(super) message: Arc<Message>,
    status: Status,
    pub(super) attempts: Vec<Attempt>,
    /// The last attempt has ended and that is not on disk yet.
    pub(super) unsettled: bool,
    routing: Routing,
    pub(super) course: Course,
    pub(super) lease: Lease,
    /// When the lease of the last attempt is over.
    pub(super) over: Moment,
    /// Of the recipient, for consistent hashing.
    key: u64,
}

pub enum Start {
    Go(Journey),
    Stop(Journey, Next),
}

pub enum Chosen {
    Call(Ticket),
    Park(Timestamp),
    /// It is over, in this way.
    End(Decision),
    /// The process stops.
    HandBack,
}

/// Why a message waits.
#[derive(Clone, Copy)]
enum Pause {
    /// Its providers are full, the one at this place until then; it may look again as soon as a call has ended.
    Room(Moment, Option<usize>),
    /// All were tried: not before then.
    Backoff(Moment),
}

impl Pause {
    const fn until(self) -> Moment {
        match self {
            Self::Room(until, _) | Self::Backoff(until) => until,
        }
    }
}

impl Journey {
    /// Looks at what was taken: may it go, and with whom?
    pub fn start(worker: Arc<Worker>, taken: Taken) -> Start {
        let (now, moment) = (worker.clock.now(), worker.clock.moment());
        let Taken { message, status, attempts, lease } = taken;
        let app = worker.directory.app(message.app);
        let (desk, routing) = desk_of(&worker, &message, app.as_ref());
        let expires = moment + message.expires_at.since(now);
        let mut journey = Self {
            key: key_of(&message),
            course: Course::new(message.category, expires, routing.places.iter().copied()),
            worker,
            desk,
            message,
            status,
            attempts,
            unsettled: false,
            over: moment,
            routing,
            lease,
        };
        journey.close_interrupted(now);
        let known = |attempt: &Attempt| Some((journey.desk.place(&attempt.opened.provider), attempt.ended.as_ref()?.outcome));
        let past: SmallVec<[_; 4]> = journey.attempts.iter().filter_map(known).collect();
        if !past.is_empty() {
            journey.course = journey.course.resumed(past);
        }
        let next = journey.guard(now, app.is_some_and(|app| app.suspended));
        match next {
            Some(next) => Start::Stop(journey, next),
            None => Start::Go(journey),
        }
    }

    /// Another routing revision came into force: goes on at its desk.
    fn change_desk(&mut self) {
        let app = self.worker.directory.app(self.message.app);
        let (desk, routing) = desk_of(&self.worker, &self.message, app.as_ref());
        let here = |place: usize| desk.place(&self.desk.accounts.get(place)?.spec.name);
        self.course = self.course.clone().moved(routing.places.iter().copied(), here);
        (self.desk, self.routing) = (desk, routing);
    }

    /// An attempt that is open here was under way when its worker died: whether it was sent, nobody knows.
    fn close_interrupted(&mut self, now: Timestamp) {
        let Some(last) = self.attempts.last_mut().filter(|last| last.is_open()) else { return };
        let place = self.desk.place(&last.opened.provider);
        let longest = place.map_or(Duration::from_secs(3), |place| self.desk.accounts[place].spec.timeout);
        last.ended = Some(Ended {
            outcome: Outcome::Ambiguous,
            code: Some(INTERRUPTED.to_owned()),
            duration: now.since(last.opened.started_at).min(longest),
            provider_message_id: None,
            segments: self.message.segments,
            cost: None,
        });
        self.unsettled = true;
    }

    fn guard(&self, now: Timestamp, suspended: bool) -> Option<Next> {
        let must_not_repeat = self.course.may_have_been_sent() && !self.message.category.allows_duplicates();
        if must_not_repeat {
            return Some(Next::Close(Status::Unknown));
        }
        if now >= self.message.expires_at {
            return Some(Next::Close(if self.course.may_have_been_sent() { Status::Unknown } else { Status::Expired }));
        }
        if self.status == Status::Held {
            return Some(Next::Wait(self.message.expires_at));
        }
        let waits = suspended || self.routing.places.is_empty();
        waits.then(|| Next::Wait((now + LOOK_AGAIN).min(self.message.expires_at)))
    }

    /// Chooses a provider and takes its limit, or says what to do instead. Waits for room, but not for long.
    pub async fn choose(&mut self) -> Chosen {
        let began = self.worker.clock.moment();
        // Whose limit it waited for first, and since when.
        let mut waited: Option<(Arc<metrics::Provider>, Moment)> = None;
        loop {
            let now = self.worker.clock.moment();
            if now >= self.course.expires_at() {
                count_wait(waited, now);
                return Chosen::End(self.course.expired());
            }
            let Some(choice) = self.desk.reserve(now, &self.ask()) else {
                self.change_desk();
                continue;
            };
            let pause = match choice {
                Choice::Call(ticket) => {
                    count_wait(waited, now);
                    self.worker.lanes[self.message.lane().index()].goes(now);
                    return Chosen::Call(ticket);
                }
                Choice::NoCandidate => return Chosen::End(self.course.without_candidate()),
                Choice::Exhausted => match self.next_round(now) {
                    Decision::RetryAt(at) => Pause::Backoff(at),
                    decision => return Chosen::End(decision),
                },
                Choice::Wait { until, provider, .. } => {
                    waited = waited.or_else(|| Some((Arc::clone(&self.desk.accounts.get(provider?)?.metrics), now)));
                    Pause::Room(until, provider)
                }
            };
            if pause.until().since(began) > HOLD {
                let ahead = self.park(pause, now);
                count_wait(waited, now + ahead);
                return Chosen::Park(self.worker.clock.now() + ahead);
            }
            if !self.wait(pause).await {
                return Chosen::HandBack;
            }
        }
    }

    /// Takes the limit of a provider that has room this very moment, if there is one.
    pub fn choose_now(&self) -> Option<Ticket> {
        match self.desk.reserve(self.worker.clock.moment(), &self.ask())? {
            Choice::Call(ticket) => Some(ticket),
            Choice::Wait { .. } | Choice::NoCandidate | Choice::Exhausted => None,
        }
    }

    /// How far ahead a message parks, and what that says about its lane.
    fn park(&self, pause: Pause, now: Moment) -> Duration {
        self.worker.metrics.queue.parked();
        let ahead = pause.until().since(now).max(SHORTEST);
        match pause {
            Pause::Backoff(_) => ahead,
            Pause::Room(..) => {
                self.worker.lanes[self.message.lane().index()].parked();
                ahead.min(PARK)
            }
        }
    }

    /// Everybody was tried: when all of them are tried again.
    fn next_round(&mut self, now: Moment) -> Decision {
        let (app, last) = (self.message.app, self.course.last_tried());
        let (budgets, dice) = &mut *self.desk.retry();
        let mut refused = None;
        let pay = || {
            refused = match budgets.pay(now, app, last) {
                Payment::Paid => None,
                Payment::AppRefused => Some(RetryPayer::App),
                Payment::ProviderRefused => Some(RetryPayer::Provider),
            };
            refused.is_none()
        };
        let decision = self.course.exhausted(now, pay, dice);
        if let Some(payer) = refused {
            self.worker.metrics.delivery.retry_refused_by_budget(payer);
        }
        decision
    }

    /// Waits holding the permit. False when the process stops meanwhile.
    async fn wait(&mut self, pause: Pause) -> bool {
        if self.unsettled {
            self.write(Next::Continue).await;
        }
        let (clock, latest) = (self.worker.clock, self.course.expires_at());
        let waited = async {
            match pause {
                Pause::Backoff(until) => tokio::time::sleep_until(clock.instant(until.min(latest))).await,
                Pause::Room(at, place) => {
                    let lane = self.message.lane();
                    let _in_line = self.worker.lanes[lane.index()].waits();
                    self.desk.room(clock, lane, place, at, latest).await;
                }
            }
        };
        tokio::select! {
            () = self.worker.stopping.cancelled() => false,
            () = waited => true,
        }
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            category: self.message.category,
            lane: self.message.lane(),
            segments: self.message.segments,
            key: self.key,
            candidates: &self.routing.places,
            tried: self.course.excluded(),
            select: self.routing.select,
            max_price: self.message.max_price,
        }
    }
}

/// The desk of a message's recipient, and who may take it there.
fn desk_of(worker: &Worker, message: &Message, app: Option<&AppEntry>) -> (Arc<Desk>, Routing) {
    let desk = worker.desks.for_bucket(crate::control::snapshot::bucket(message.to.expose()));
    let routing = desk.routing(message, app.map_or("", |app| &*app.name));
    (desk, routing)
}

/// Counts how long a message waited for a provider's limit, if it did.
fn count_wait(waited: Option<(Arc<metrics::Provider>, Moment)>, until: Moment) {
    if let Some((provider, since)) = waited {
        provider.limiter_wait(until.since(since));
    }
}

/// FNV-1a: the same recipient has the same key on every node.
fn key_of(message: &Message) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    message.to.expose().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}
