//! The worker: takes messages when somebody is free to carry them, and lets go of none that it began.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tidings_core::{
    id::MessageId,
    message::{Lane, Message},
    time::Timestamp,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Desks, Directory, Seat, deliver,
    journey::{Journey, Start},
    lane::{LaneState, PAUSE_WHILE_FULL},
};
use crate::{
    clock::Clock,
    store::{Lease, LeaseOwner, Messages, Taken},
    telemetry::metrics::Metrics,
};

/// How long an idle lane sleeps at most: what another process wrote is noticed by then.
const IDLE: Duration = Duration::from_millis(500);
/// After the store failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Messages carried at once, by [`Lane::index`].
    pub permits: [usize; 3],
    /// How long a message that was taken stays ours without an attempt.
    pub lease: Duration,
    /// Drawn at the start of the process.
    pub owner: LeaseOwner,
}

/// One process's worker.
pub struct Worker {
    pub(super) store: Arc<dyn Messages>,
    pub(super) desks: Arc<Desks>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Settings,
    pub(super) lanes: [LaneState; 3],
    /// Messages that this process carries: one whose lease ran out under us must not be begun twice.
    in_hand: Mutex<HashSet<MessageId>>,
    pub(super) tasks: TaskTracker,
    /// Take nothing more; what waits is handed back.
    pub(super) stopping: CancellationToken,
}

impl Worker {
    pub fn new(
        store: Arc<dyn Messages>,
        desks: Arc<Desks>,
        directory: Arc<dyn Directory>,
        clock: Clock,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            desks,
            directory,
            clock,
            metrics,
            settings,
            lanes: settings.permits.map(LaneState::new),
            in_hand: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    /// Starts taking from every lane.
    pub fn start(self: &Arc<Self>) {
        for lane in Lane::ALL {
            let worker = Arc::clone(self);
            self.tasks.spawn(async move { worker.run_lane(*lane).await });
        }
        let worker = Arc::clone(self);
        self.tasks.spawn(async move { worker.run_pulse().await });
        let worker = Arc::clone(self);
        self.tasks.spawn(async move { worker.run_gauges().await });
    }

    /// Takes nothing more and waits for what is under way; whatever is left when the caller gives up is found open or
    /// leased by the next start.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A seat for a fresh message, and a provider too if one has room now.
    pub(super) async fn reserve(self: &Arc<Self>, message: &Arc<Message>) -> Option<Seat> {
        let lane = &self.lanes[message.lane().index()];
        // Where providers are full, seats are held by messages that wait for them.
        let in_vain = || self.stopping.is_cancelled() || lane.is_full();
        let permit = lane.seats.for_sender(&self.clock, in_vain).await?;
        if self.stopping.is_cancelled() {
            return None;
        }
        let lease = self.lease(self.clock.now());
        let fresh = Taken { message: Arc::clone(message), status: message.first_status(), attempts: Vec::new(), lease };
        // Whoever has to wait for something else than room waits in the queue.
        let Start::Go(mut journey) = Journey::start(Arc::clone(self), fresh) else { return None };
        let first = journey.choose_now().inspect(|ticket| {
            journey.lease = journey.add_attempt(ticket);
        });
        Some(Seat::new(permit, journey, first))
    }

    pub(super) fn wake(&self, lane: Lane) {
        self.lanes[lane.index()].woken.notify_one();
    }

    pub(super) fn begin_fresh(self: &Arc<Self>, seat: Seat) {
        let Some((permit, journey, first)) = seat.take() else { return };
        let message = Arc::clone(&journey.message);
        self.begin(&message, permit, deliver::carry(journey, first));
    }

    fn lease(&self, now: Timestamp) -> Lease {
        Lease { owner: self.settings.owner, until: now + self.settings.lease }
    }

    /// Takes due messages of one lane for as long as somebody is free to carry them.
    async fn run_lane(self: Arc<Self>, lane: Lane) {
        let state = &self.lanes[lane.index()];
        loop {
            let first = tokio::select! {
                () = self.stopping.cancelled() => return,
                seat = state.seats.for_queue() => match seat {
                    Some(seat) => seat,
                    None => return,
                },
            };
            let most = state.at_once(self.clock.moment());
            let was_full = state.is_full();
            let taken = self.take(lane, state, most, first).await;
            let enough = |taken| was_full && state.has_enough(self.clock.moment(), most, taken);
            let pause = async {
                match taken {
                    None => tokio::time::sleep(AFTER_FAILURE).await,
                    Some(0) => self.idle(lane).await,
                    Some(taken) if enough(taken) => tokio::time::sleep(PAUSE_WHILE_FULL).await,
                    Some(_) => {}
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = state.woken.notified(), if taken == Some(0) => {}
                () = pause => {}
            }
        }
    }

    /// Leases up to `most`, as many as there are permits for, and begins them. How many there were; nothing if the store failed.
    async fn take(self: &Arc<Self>, lane: Lane, state: &LaneState, most: usize, first: OwnedSemaphorePermit) -> Option<usize> {
        let permits = state.seats.more_for_queue(first, most).await;
        let (began, now) = (self.clock.moment(), self.clock.now());
        let taken = match self.store.lease(lane, self.lease(now), now, permits.len()).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(lane = lane.as_str(), error = &error as &dyn std::error::Error, "no messages could be taken");
                return None;
            }
        };
        let count = taken.len();
        state.seats.queue_gave(permits.len(), taken.iter().map(|taken| now.since(taken.message.first_due())));
        if count > 0 {
            self.metrics.queue.refilled(count, self.clock.moment().since(began));
        }
        for (taken, permit) in taken.into_iter().zip(permits) {
            let message = Arc::clone(&taken.message);
            self.begin(&message, permit, deliver::deliver(Arc::clone(self), taken));
        }
        Some(count)
    }

    /// Waits until the next message is due, within reason. Whoever is woken need not hear when that is.
    async fn idle(&self, lane: Lane) {
        let length = match self.store.next_due(lane).await {
            Ok(Some(due)) => due.since(self.clock.now()).min(IDLE).max(Duration::from_millis(1)),
            Ok(None) | Err(_) => IDLE,
        };
        tokio::time::sleep(length).await;
    }

    fn begin(self: &Arc<Self>, message: &Message, permit: OwnedSemaphorePermit, delivery: impl Future<Output = ()> + Send + 'static) {
        let (id, lane, due) = (message.id, message.lane(), message.first_due());
        if !self.in_hand().insert(id) {
            return;
        }
        let worker = Arc::clone(self);
        // Boxed, because the task would hold it twice: as what it was given and as what it waits for.
        let delivery = Box::pin(AssertUnwindSafe(delivery).catch_unwind());
        self.tasks.spawn(async move {
            let _permit = permit;
            worker.metrics.queue.taken(lane, worker.clock.now().since(due));
            worker.metrics.delivery.busy.inc();
            if delivery.await.is_err() {
                worker.metrics.panicked("deliver");
            }
            worker.metrics.delivery.busy.dec();
            worker.in_hand().remove(&id);
            // Also what was taken again meanwhile, and not begun because it was in hand.
            worker.store.let_go(id);
            worker.lanes[lane.index()].seats.came_free(worker.clock.moment());
        });
    }

    fn in_hand(&self) -> std::sync::MutexGuard<'_, HashSet<MessageId>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
