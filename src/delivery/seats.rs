//! The seats of a lane: as many messages are carried at once, and the next seat that comes free is a sender's or the queue's.
//!
//! A fresh message that finds no seat goes by way of the queue, which costs twice the writes. Where seats come free all the
//! time its sender stands in line for one instead, so a flood is slowed to what goes out and not piled up first. Nobody stands
//! in line where that would be in vain: when no seat came free for a moment (providers hang: accepting must not notice), or
//! while what is in the queue has waited for long and goes first. The queue's turn comes once in every line of senders and
//! takes several seats, so what is in it goes on too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidings_core::time::Moment;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;

/// How long a sender stands in line at most. Few notice so much under a flood, in which they wait for the disk as long.
const STANDS: Duration = Duration::from_millis(250);
/// Seats move if one came free within this: several of a slow disk's writes.
const MOVING: Duration = Duration::from_millis(50);
/// What waited in the queue for longer goes before whatever is fresh.
const LONG: Duration = Duration::from_secs(1);
/// Seats that the queue takes in one turn while senders stand in line.
const BESIDE_SENDERS: usize = 64;
/// How long the queue waits for as many seats, or for half of all, while it has more than there are seats for: where they come
/// free one by one, each would cost a write of its own, and codes would wait behind them.
const GATHERS: Duration = Duration::from_millis(10);

pub struct Seats {
    permits: Arc<Semaphore>,
    /// Senders in line.
    standing: AtomicUsize,
    /// When a seat came free last, in milliseconds; none has at 0.
    freed: AtomicU64,
    /// What the queue gave last had waited for long.
    behind: AtomicBool,
    /// The queue gave as much as it was asked for: there is more.
    more: AtomicBool,
    all: usize,
}

struct Standing<'a>(&'a Seats);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seats {
    pub fn new(seats: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(seats)),
            standing: AtomicUsize::new(0),
            freed: AtomicU64::new(0),
            behind: AtomicBool::new(false),
            more: AtomicBool::new(false),
            all: seats,
        }
    }

    /// A seat for a fresh message: one that is free, or one that comes free soon. `in_vain` says that more is known against waiting.
    pub async fn for_sender(&self, clock: &Clock, in_vain: impl Fn() -> bool) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(free);
        }
        let until = clock.moment() + STANDS;
        self.standing.fetch_add(1, Ordering::Relaxed);
        let _standing = Standing(self);
        let mut seat = std::pin::pin!(Arc::clone(&self.permits).acquire_owned());
        loop {
            let now = clock.moment();
            if now >= until || !self.move_on(now) || self.behind.load(Ordering::Relaxed) || in_vain() {
                return None;
            }
            tokio::select! {
                seat = &mut seat => return seat.ok(),
                () = tokio::time::sleep(MOVING) => {}
            }
        }
    }

    /// The first seat for what is in the queue, whenever it comes free. `None` when there will be none any more.
    pub async fn for_queue(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// More of them, `most` together: those that are free, and in its turn some that come free soon, if senders stand in line or
    /// the queue has more than this.
    pub async fn more_for_queue(&self, first: OwnedSemaphorePermit, most: usize) -> Vec<OwnedSemaphorePermit> {
        let mut seats = vec![first];
        self.take_free(&mut seats, most);
        let turn = most.min(BESIDE_SENDERS);
        let (turn, patience) = if self.standing.load(Ordering::Relaxed) > 0 {
            (turn, MOVING)
        } else if self.more.load(Ordering::Relaxed) {
            (turn.min(self.all / 2), GATHERS)
        } else {
            return seats;
        };
        if seats.len() < turn {
            let missing = u32::try_from(turn - seats.len()).unwrap_or(0);
            let line = Arc::clone(&self.permits).acquire_many_owned(missing);
            match tokio::time::timeout(patience, line).await {
                Ok(Ok(mut more)) => {
                    while let Some(seat) = more.split(1) {
                        seats.push(seat);
                    }
                }
                // Those that came free meanwhile.
                _ => self.take_free(&mut seats, most),
            }
        }
        seats
    }

    fn take_free(&self, seats: &mut Vec<OwnedSemaphorePermit>, most: usize) {
        while seats.len() < most {
            let Ok(free) = Arc::clone(&self.permits).try_acquire_owned() else { break };
            seats.push(free);
        }
    }

    /// A take asked the queue for so many, and these had waited so long.
    pub fn queue_gave(&self, asked: usize, waited: impl ExactSizeIterator<Item = Duration>) {
        let full = waited.len() >= asked;
        self.more.store(full, Ordering::Relaxed);
        self.behind.store(full && waited.max().is_some_and(|longest| longest > LONG), Ordering::Relaxed);
    }

    /// Somebody rises.
    pub fn came_free(&self, now: Moment) {
        self.freed.store(millis(now), Ordering::Relaxed);
    }

    fn move_on(&self, now: Moment) -> bool {
        let freed = self.freed.load(Ordering::Relaxed);
        freed > 0 && millis(now).saturating_sub(freed) <= millis(Moment::from_start(MOVING))
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tidings_core::time::Timestamp;

    use super::*;

    fn clock() -> Clock {
        Clock::starting_at(Timestamp::from_millis(1_790_000_000_000))
    }

    fn never() -> bool {
        false
    }

    /// A lane of as many seats, all taken, of which one came free just now.
    async fn taken(seats: usize, clock: &Clock) -> (Arc<Seats>, Vec<OwnedSemaphorePermit>) {
        let lane = Arc::new(Seats::new(seats));
        tokio::time::advance(Duration::from_secs(1)).await;
        lane.came_free(clock.moment());
        let first = lane.for_queue().await.unwrap();
        let taken = lane.more_for_queue(first, seats).await;
        assert_eq!(taken.len(), seats);
        (lane, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_stands_in_line_where_seats_come_free() {
        let clock = clock();
        let (lane, mut taken) = taken(2, &clock).await;
        let (sender, ()) = tokio::join!(lane.for_sender(&clock, never), async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(40)).await;
                lane.came_free(clock.moment());
            }
            drop(taken.pop());
        });
        assert!(sender.is_some(), "after 120 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn no_sender_stands_in_line_where_no_seat_comes_free_or_it_is_in_vain() {
        let clock = clock();
        let (lane, _taken) = taken(2, &clock).await;
        let began = clock.moment();
        assert!(lane.for_sender(&clock, || true).await.is_none());
        assert_eq!(clock.moment(), began, "somebody knew more");
        assert!(lane.for_sender(&clock, never).await.is_none());
        let waited = clock.moment().since(began);
        assert!((MOVING..MOVING * 3).contains(&waited), "the first finds out: {waited:?}");
        let began = clock.moment();
        assert!(lane.for_sender(&clock, never).await.is_none());
        assert_eq!(clock.moment(), began, "the next one knows");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_stands_no_longer_than_its_client_would_notice() {
        let clock = clock();
        let (lane, _taken) = taken(1, &clock).await;
        let began = clock.moment();
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                lane.came_free(clock.moment());
            }
        };
        tokio::select! {
            seat = lane.for_sender(&clock, never) => assert!(seat.is_none()),
            () = moving => {}
        }
        assert_eq!(clock.moment().since(began), STANDS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_long_in_the_queue_goes_before_senders() {
        let clock = clock();
        let (lane, _taken) = taken(1, &clock).await;
        let began = clock.moment();
        lane.queue_gave(2, [LONG * 2, LONG * 2].into_iter());
        assert!(lane.for_sender(&clock, never).await.is_none());
        assert_eq!(clock.moment(), began, "it goes by way of the queue at once");
        lane.queue_gave(2, [LONG * 2].into_iter());
        lane.came_free(clock.moment());
        let _: Option<OwnedSemaphorePermit> = lane.for_sender(&clock, never).await;
        assert!(clock.moment() > began, "the queue is empty: senders stand in line again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_gathers_seats_that_come_free_one_by_one_while_it_has_more() {
        let clock = clock();
        let (lane, mut taken) = taken(40, &clock).await;
        let (lane, clock) = (&lane, &clock);
        // So many come free each millisecond.
        let mut gathered = async |each: usize| {
            let (first, began) = (taken.pop().unwrap(), clock.moment());
            let mut rising = taken.split_off(1);
            let rises = async {
                while !rising.is_empty() {
                    rising.truncate(rising.len().saturating_sub(each));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let seats = async { (lane.more_for_queue(first, 256).await.len(), clock.moment().since(began)) };
            let (seats, ()) = tokio::join!(seats, rises);
            let first = lane.for_queue().await.unwrap();
            // All but the one that is still taken, as at the beginning.
            taken.extend(lane.more_for_queue(first, 39).await);
            seats
        };
        assert_eq!(gathered(1).await, (1, Duration::ZERO), "nobody says that there is more");
        lane.queue_gave(2, [Duration::ZERO; 2].into_iter());
        let (seats, lasted) = gathered(1).await;
        assert!((10..=11).contains(&seats) && lasted == GATHERS, "{seats} in {lasted:?}");
        assert_eq!(gathered(4).await.0, 20, "half of all seats");
        lane.queue_gave(2, [Duration::ZERO].into_iter());
        assert_eq!(gathered(1).await, (1, Duration::ZERO), "there is no more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_takes_several_seats_in_its_turn_beside_senders_that_stand_in_line() {
        let clock = clock();
        let (lane, mut taken) = taken(200, &clock).await;
        let first = taken.pop().unwrap();
        let senders: Vec<_> = (0..100)
            .map(|_| {
                let lane = Arc::clone(&lane);
                tokio::spawn(async move { lane.for_sender(&clock, never).await })
            })
            .collect();
        while lane.standing.load(Ordering::Relaxed) < senders.len() {
            tokio::task::yield_now().await;
        }
        let queue = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.more_for_queue(first, 256).await.len() }
        });
        tokio::task::yield_now().await;
        let rises = async {
            while taken.pop().is_some() {
                lane.came_free(clock.moment());
                tokio::task::yield_now().await;
            }
        };
        let (queue, ()) = tokio::join!(queue, rises);
        assert_eq!(queue.unwrap(), BESIDE_SENDERS);
        for sender in senders {
            assert!(sender.await.unwrap().is_some());
        }
    }
}
