//! What waits for the writer, and which of it goes next.
//!
//! Workers with much to do write twice a message, and each of those writes would be a tick of its own, a millisecond apart: they
//! are gathered for a moment. Whoever is waited for, from outside or by a code, ends the gathering at once. Codes go before what
//! was gathered where there are few of them, so that they wait for no row but their own.

use std::time::Duration;

use tokio::{
    sync::mpsc::{self, error::SendError},
    time::timeout,
};

use super::write::Request;

/// Requests in one transaction, at most: bounds its latency and the memory of a burst.
pub const MAX_REQUESTS: usize = 1024;
/// So many are worth a transaction without waiting for more.
pub const MANY: usize = 64;
/// How long others are gathered.
pub const GATHERS: Duration = Duration::from_millis(4);
/// So many with a code among them go to disk before the rest.
const FEW: usize = 4;
/// Requests of either kind that may wait for the writer before their callers do.
const BACKLOG: usize = 4096;

/// The callers' side.
#[derive(Clone)]
pub struct Outbox {
    waited_for: mpsc::Sender<Request>,
    others: mpsc::Sender<Request>,
}

/// The writer's side.
pub struct Inbox {
    waited_for: mpsc::Receiver<Request>,
    others: mpsc::Receiver<Request>,
    gathered: Vec<Request>,
    /// The last tick left the others behind: this one takes them.
    left_behind: bool,
}

pub fn channel() -> (Outbox, Inbox) {
    let (soon, waited_for) = mpsc::channel(BACKLOG);
    let (later, others) = mpsc::channel(BACKLOG);
    let inbox = Inbox { waited_for, others, gathered: Vec::with_capacity(MAX_REQUESTS), left_behind: false };
    (Outbox { waited_for: soon, others: later }, inbox)
}

impl Outbox {
    pub async fn send(&self, request: Request) -> Result<(), SendError<Request>> {
        let kind = if request.write.is_waited_for() { &self.waited_for } else { &self.others };
        kind.send(request).await
    }
}

impl Inbox {
    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.waited_for.len() + self.others.len() + self.gathered.len()
    }

    /// Puts what the next transaction carries into `tick`, which is empty. False when every sender is gone and nothing is left.
    pub async fn next(&mut self, tick: &mut Vec<Request>) -> bool {
        if self.gathered.is_empty() {
            tokio::select! {
                biased;
                count = self.waited_for.recv_many(tick, MAX_REQUESTS / 2) => {
                    if count == 0 && self.others.recv_many(&mut self.gathered, MAX_REQUESTS).await == 0 {
                        return false;
                    }
                }
                count = self.others.recv_many(&mut self.gathered, MAX_REQUESTS) => {
                    if count == 0 && self.waited_for.recv_many(tick, MAX_REQUESTS / 2).await == 0 {
                        return false;
                    }
                }
            }
        } else {
            take(&mut self.waited_for, tick, MAX_REQUESTS / 2);
        }
        if tick.is_empty() && self.gathered.len() < MANY {
            // At the end of the time there are only the others; at the end of the program they are the last.
            timeout(GATHERS, self.waited_for.recv_many(tick, MAX_REQUESTS / 2)).await.ok();
        }
        let go_first = tick.len() <= FEW && !self.left_behind && tick.iter().any(|request| request.write.is_for_a_code());
        self.left_behind = go_first;
        if !go_first {
            take(&mut self.others, &mut self.gathered, MAX_REQUESTS);
            let room = MAX_REQUESTS - tick.len();
            tick.extend(self.gathered.drain(..room.min(self.gathered.len())));
            take(&mut self.waited_for, tick, MAX_REQUESTS);
        }
        true
    }
}

/// Takes what is there already, until there are `most`.
fn take(from: &mut mpsc::Receiver<Request>, to: &mut Vec<Request>, most: usize) {
    while to.len() < most
        && let Ok(request) = from.try_recv()
    {
        to.push(request);
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{message::Lane, time::Timestamp};
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        clock::Clock,
        store::{Idempotency, Lease, sqlite::write::Write},
    };

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn waited_for() -> Request {
        request(Write::KeepAnswer { idempotency: Idempotency { key: [0; 16], body: [0; 16] }, answer: Vec::new(), now: NOW })
    }

    fn code() -> Request {
        request(Write::Lease { lane: Lane::Urgent, lease: Lease { owner: 1, until: NOW }, now: NOW, most: 1 })
    }

    fn other() -> Request {
        request(Write::Forget { ids: Vec::new() })
    }

    /// How many are in the next tick that somebody waits for, how many others, and after how many milliseconds.
    async fn next(inbox: &mut Inbox) -> (usize, usize, u128) {
        let (clock, mut tick) = (Clock::starting_at(NOW), Vec::new());
        assert!(inbox.next(&mut tick).await);
        let waited_for = tick.iter().filter(|request| request.write.is_waited_for()).count();
        (waited_for, tick.len() - waited_for, clock.now().since(NOW).as_millis())
    }

    fn request(write: Write) -> Request {
        Request { write, reply: oneshot::channel().0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_codes_go_first_and_the_others_next() {
        let (outbox, mut inbox) = channel();
        for _ in 0..20 {
            outbox.send(other()).await.unwrap();
        }
        outbox.send(code()).await.unwrap();
        assert_eq!(next(&mut inbox).await, (1, 0, 0));
        outbox.send(code()).await.unwrap();
        assert_eq!(next(&mut inbox).await, (1, 20, 0), "nobody is left behind twice");
        assert_eq!(inbox.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_outside_takes_the_others_along() {
        let (outbox, mut inbox) = channel();
        outbox.send(other()).await.unwrap();
        outbox.send(waited_for()).await.unwrap();
        assert_eq!(next(&mut inbox).await, (1, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn many_go_together() {
        let (outbox, mut inbox) = channel();
        for _ in 0..2_000 {
            outbox.send(other()).await.unwrap();
            outbox.send(waited_for()).await.unwrap();
        }
        assert_eq!(next(&mut inbox).await, (512, 512, 0));
        assert_eq!(next(&mut inbox).await, (512, 512, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_workers_wait_for_is_gathered_until_somebody_comes() {
        let (outbox, mut inbox) = channel();
        outbox.send(other()).await.unwrap();
        assert_eq!(next(&mut inbox).await, (0, 1, 4));

        outbox.send(other()).await.unwrap();
        let come = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            outbox.send(other()).await.unwrap();
            outbox.send(waited_for()).await.unwrap();
        };
        let (first, ()) = tokio::join!(next(&mut inbox), come);
        assert_eq!(first, (1, 2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_is_written_when_every_sender_is_gone() {
        let (outbox, mut inbox) = channel();
        outbox.send(waited_for()).await.unwrap();
        outbox.send(other()).await.unwrap();
        drop(outbox);
        assert_eq!(next(&mut inbox).await, (1, 1, 0));
        assert!(!inbox.next(&mut Vec::new()).await);
    }
}
