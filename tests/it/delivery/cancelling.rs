//! A message that was answered `cancelled` never goes out, however cancel, lease, open, hold, release and settle fall.
//!
//! Twice: the store's operations in any order, by two workers whose leases run out, on every backend; and the real worker
//! loop with cancels that race it, where a provider counts its calls.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};
use tidings::{
    delivery::{Intake, Seat},
    store::{Cancelling, Lease, Messages, NewMessage, Next, Opening, Releasing, Settlement, Taken},
};
use tidings_core::{
    attempt::{Attempt, Ended, Opened, Outcome},
    id::MessageId,
    message::{Category, Message, Status},
    time::Timestamp,
};

use super::world::{World, accepts, providers, unavailable};
use crate::suites::messages::samples::{self, NOW, app};

const OWNERS: [i64; 2] = [71, 72];
/// What one lease takes: everything that is due, also of cases before.
const ALL: usize = 10_000;
const LEASE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Step {
    Lease { owner: usize },
    Open { message: usize, owner: usize },
    Settle { message: usize, owner: usize, outcome: Outcome },
    HandBack { message: usize, owner: usize },
    Cancel { message: usize },
    CancelByReference,
    Release { message: usize },
    TimePasses { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (message, owner) = (0..3_usize, 0..OWNERS.len());
    let outcome = prop_oneof![
        3 => Just(Outcome::Unavailable),
        1 => Just(Outcome::Ambiguous),
        2 => Just(Outcome::Accepted),
        1 => Just(Outcome::RejectedRecipient),
    ];
    let step = prop_oneof![
        4 => owner.clone().prop_map(|owner| Step::Lease { owner }),
        6 => (message.clone(), owner.clone()).prop_map(|(message, owner)| Step::Open { message, owner }),
        4 => (message.clone(), owner.clone(), outcome).prop_map(|(message, owner, outcome)| Step::Settle { message, owner, outcome }),
        1 => (message.clone(), owner).prop_map(|(message, owner)| Step::HandBack { message, owner }),
        3 => message.clone().prop_map(|message| Step::Cancel { message }),
        1 => Just(Step::CancelByReference),
        2 => message.prop_map(|message| Step::Release { message }),
        2 => (1..60_u64).prop_map(|seconds| Step::TimePasses { seconds }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What a test remembers of what it was told.
struct Told {
    store: Arc<dyn Messages>,
    now: Timestamp,
    ids: [MessageId; 3],
    reference: String,
    /// What each worker believes to hold.
    held: HashMap<(usize, MessageId), Taken>,
    cancelled: HashSet<MessageId>,
}

impl Told {
    async fn begin(store: Arc<dyn Messages>, number: u64) -> Self {
        let now = NOW + Duration::from_secs(number * 10_000);
        let reference = format!("case-{number}");
        let mut ids = Vec::new();
        for (hold, send_at) in [(false, None), (true, None), (false, Some(now + Duration::from_secs(20)))] {
            let mut message = samples::accepted_at(Category::Otp, now);
            (message.hold, message.send_at, message.reference) = (hold, send_at, Some(reference.clone()));
            message.expires_at = now + Duration::from_secs(9_000);
            ids.push(samples::accept(&store, message).await);
        }
        let ids = ids.try_into().expect("three were accepted");
        Self { store, now, ids, reference, held: HashMap::new(), cancelled: HashSet::new() }
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::TimePasses { seconds } => self.now = self.now + Duration::from_secs(seconds),
            Step::Lease { owner } => self.lease(owner).await,
            Step::Open { message, owner } => self.open(owner, self.ids[message]).await?,
            Step::Settle { message, owner, outcome } => self.settle(owner, self.ids[message], outcome).await,
            Step::HandBack { message, owner } => {
                self.held.remove(&(owner, self.ids[message]));
                self.store.hand_back(vec![self.ids[message]], OWNERS[owner], self.now).await.unwrap();
            }
            Step::Cancel { message } => self.cancel(self.ids[message]).await?,
            Step::CancelByReference => self.cancel_all().await?,
            Step::Release { message } => {
                let released = self.store.release(Some(app(1)), self.ids[message], self.now).await.unwrap();
                let revived = matches!(released, Releasing::Released(_)) && self.cancelled.contains(&self.ids[message]);
                prop_assert!(!revived, "a cancelled message was released");
            }
        }
        for id in &self.cancelled {
            prop_assert_eq!(self.store.get(*id).await.unwrap().unwrap().status, Status::Cancelled);
        }
        Ok(())
    }

    async fn lease(&mut self, owner: usize) {
        let lease = Lease { owner: OWNERS[owner], until: self.now + LEASE };
        for taken in self.store.lease(samples::accepted_at(Category::Otp, NOW).lane(), lease, self.now, ALL).await.unwrap() {
            // What a case before left behind is of no interest.
            if self.ids.contains(&taken.message.id) {
                self.held.insert((owner, taken.message.id), taken);
            }
        }
    }

    async fn open(&mut self, owner: usize, id: MessageId) -> Result<(), TestCaseError> {
        let Some(taken) = self.held.get_mut(&(owner, id)) else { return Ok(()) };
        // What is open here was interrupted: a worker closes it before it opens another.
        end_last(&mut taken.attempts, Outcome::Ambiguous);
        let number = u32::try_from(taken.attempts.len()).unwrap() + 1;
        let opened = Opened {
            number,
            provider: "a".to_owned(),
            revision: 1,
            receipts: true,
            started_at: self.now + Duration::from_millis(owner as u64),
            why: String::new(),
        };
        let mut attempts = taken.attempts.clone();
        attempts.push(Attempt { opened, ended: None });
        let lease = Lease { owner: OWNERS[owner], until: self.now + LEASE };
        match self.store.open(id, taken.message.lane(), lease, attempts.clone()).await.unwrap() {
            Opening::Opened => {
                prop_assert!(!self.cancelled.contains(&id), "an attempt was opened on a cancelled message");
                taken.attempts = attempts;
            }
            Opening::Lost => drop(self.held.remove(&(owner, id))),
        }
        Ok(())
    }

    async fn settle(&mut self, owner: usize, id: MessageId, outcome: Outcome) {
        let Some(mut taken) = self.held.remove(&(owner, id)) else { return };
        if taken.attempts.is_empty() {
            return;
        }
        end_last(&mut taken.attempts, outcome);
        let next = match outcome {
            Outcome::Accepted => Next::Close(Status::Submitted),
            Outcome::RejectedRecipient => Next::Close(Status::Failed),
            _ => Next::Wait(self.now + Duration::from_secs(5)),
        };
        let (lane, owner) = (taken.message.lane(), OWNERS[owner]);
        self.store.settle(Settlement { id, lane, owner, attempts: taken.attempts, next, at: self.now }).await.unwrap();
    }

    async fn cancel(&mut self, id: MessageId) -> Result<(), TestCaseError> {
        let before = self.store.get(id).await.unwrap().unwrap();
        let answer = self.store.cancel(Some(app(1)), id, self.now).await.unwrap();
        let out = before.attempts.last().is_some_and(Attempt::is_open);
        let expected =
            if out || !before.status.may_become(Status::Cancelled) { Cancelling::TooLate(before.status) } else { Cancelling::Cancelled };
        prop_assert_eq!(answer, expected);
        if answer == Cancelling::Cancelled {
            self.cancelled.insert(id);
        }
        Ok(())
    }

    async fn cancel_all(&mut self) -> Result<(), TestCaseError> {
        let (cancelled, too_late) = self.store.cancel_by_reference(app(1), &self.reference, self.now).await.unwrap();
        prop_assert_eq!(cancelled + too_late, 3);
        let mut now_cancelled = 0;
        for id in self.ids {
            let status = self.store.get(id).await.unwrap().unwrap().status;
            if status == Status::Cancelled && self.cancelled.insert(id) {
                now_cancelled += 1;
            }
        }
        prop_assert_eq!(cancelled, now_cancelled);
        Ok(())
    }
}

fn end_last(attempts: &mut [Attempt], outcome: Outcome) {
    if let Some(last) = attempts.last_mut().filter(|last| last.is_open()) {
        let provider_message_id = (outcome == Outcome::Accepted).then(|| format!("{:?}", last.opened.started_at));
        let duration = Duration::from_millis(80);
        last.ended = Some(Ended { outcome, code: None, duration, provider_message_id, segments: 1, cost: None });
    }
}

/// A case of the suite over every store.
pub async fn a_cancelled_message_is_never_opened_again(store: Arc<dyn Messages>) {
    const CASES: u32 = 96;
    let handle = tokio::runtime::Handle::current();
    let ran = tokio::task::spawn_blocking(move || {
        let mut number = 0;
        let config = ProptestConfig { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
        let number = std::cell::RefCell::new(&mut number);
        TestRunner::new(config).run(&steps(), |steps| {
            **number.borrow_mut() += 1;
            let case = **number.borrow();
            handle.block_on(async {
                let mut told = Told::begin(Arc::clone(&store), case).await;
                for step in steps {
                    told.step(step).await?;
                }
                Ok(())
            })
        })
    });
    ran.await.unwrap().unwrap();
}

/// How a message goes in, and when somebody changes their mind.
#[derive(Clone, Copy, Debug)]
struct Sent {
    category: Category,
    hold: bool,
    /// Handed straight to a seat, as accepting does.
    direct: bool,
    /// Due so many milliseconds from now.
    due_in: u64,
    /// Times that the canceller lets others run first; `None`: nobody cancels.
    cancel_after: Option<u16>,
    release_after: u16,
}

fn sent() -> impl Strategy<Value = Sent> {
    let category = prop_oneof![Just(Category::Otp), Just(Category::Transactional), Just(Category::Marketing)];
    (category, any::<bool>(), any::<bool>(), 0..8_u64, proptest::option::weighted(0.8, 0..400_u16), 0..200_u16).prop_map(
        |(category, hold, direct, due_in, cancel_after, release_after)| Sent {
            category,
            hold,
            direct,
            due_in,
            cancel_after,
            release_after,
        },
    )
}

async fn let_others_run(times: u16) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Sends it, releases it if it is held, cancels it; how many calls there were when the cancel was answered, if it won.
async fn race(world: Arc<World>, message: Message, sent: Sent) -> Option<usize> {
    let (id, lane, message) = (message.id, message.lane(), Arc::new(message));
    let intake = Intake::to(Arc::clone(&world.worker));
    let seat = if sent.direct && message.first_status() == Status::Accepted { intake.reserve(&message).await } else { None };
    let (lease, opened) = (seat.as_ref().and_then(Seat::lease), seat.as_ref().and_then(Seat::opened));
    world.store.accept(vec![NewMessage { message, idempotency: None, lease, opened }]).await.unwrap();
    match seat {
        Some(seat) => intake.hand_over(seat),
        None => intake.wake(lane),
    }
    let release = async {
        if sent.hold {
            let_others_run(sent.release_after).await;
            world.store.release(None, id, world.clock.now()).await.unwrap();
            intake.wake(lane);
        }
    };
    let cancel = async {
        let_others_run(sent.cancel_after?).await;
        let won = world.store.cancel(None, id, world.clock.now()).await.unwrap() == Cancelling::Cancelled;
        won.then(|| calls(&world, id))
    };
    tokio::join!(release, cancel).1
}

fn calls(world: &World, id: MessageId) -> usize {
    world.providers.iter().map(|provider| provider.calls_for(id)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_wins_its_race_with_the_worker_is_the_end() {
    const CASES: u32 = 40;
    // The first provider often has nobody: messages are between two attempts again and again.
    let script = [unavailable(), unavailable(), accepts("v"), unavailable()];
    let world = Arc::new(providers(&[("a", &script), ("b", &[accepts("w")])]).build().await);
    world.worker.start();
    let handle = tokio::runtime::Handle::current();
    let (mut won, mut lost) = (0, 0);
    let tally = std::sync::Mutex::new((&mut won, &mut lost));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&proptest::collection::vec(sent(), 1..12), |all| {
            handle.block_on(async {
                let mut races = Vec::new();
                for sent in all {
                    let mut message = world.message(sent.category);
                    message.hold = sent.hold;
                    message.send_at = (sent.due_in > 3).then(|| world.clock.now() + Duration::from_millis(sent.due_in));
                    races.push((message.id, tokio::spawn(race(Arc::clone(&world), message, sent))));
                }
                for (id, race) in races {
                    let calls_then = race.await.unwrap();
                    let record = world.until(id, |record| record.status.is_closed()).await;
                    let mut tally = tally.lock().unwrap();
                    if let Some(then) = calls_then {
                        prop_assert_eq!((record.status, calls(&world, id)), (Status::Cancelled, then), "it went out after its cancel");
                        *tally.0 += 1;
                    } else {
                        prop_assert_ne!(record.status, Status::Cancelled);
                        *tally.1 += 1;
                    }
                }
                Ok(())
            })
        })
    });
    outcome.unwrap();
    // A race that one side always wins is none.
    assert!(won > 20 && lost > 20, "{won} cancels won, {lost} lost or were not tried");
    world.worker.stop().await;
}
