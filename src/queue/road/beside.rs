//! Codes stand behind no query: the rows of their lane are asked for beside what Kafka brings.
//!
//! A lane asks the store for what is due whenever it takes, and that answer may be long in coming where the store has much to
//! do. The urgent lane goes on with its records meanwhile and takes the rows when they are there. There is one question at a
//! time, in a task of its own, so that its transaction ends by itself, and while records come no more than some a second. Who
//! brought fewer than its line is short of takes again at once, and waits for the rows only when no records are left.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidings_core::{
    message::Lane,
    time::{Moment, Timestamp},
};
use tokio::{sync::Notify, task::JoinHandle};

use super::Road;
use crate::store::{Error, Lease, Messages, Taken};

/// From one question to the next while records come.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// How long an answer is waited for at the end.
const AT_THE_END: Duration = Duration::from_secs(1);

type Answer = Result<Vec<Taken>, Error>;

#[derive(Default)]
pub(super) struct Beside {
    question: tokio::sync::Mutex<Question>,
    /// Rows that are leased, and came when the lane had fewer seats than it had asked for.
    left: Mutex<VecDeque<Taken>>,
    /// A record came.
    pub(super) arrived: Notify,
}

#[derive(Default)]
struct Question {
    asked: Option<JoinHandle<Answer>>,
    last: Option<Moment>,
}

impl Beside {
    /// Those of them that are still leased.
    fn left(&self, most: usize, now: Timestamp) -> Vec<Taken> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|row| row.lease.until > now);
        let count = most.min(left.len());
        left.drain(..count).collect()
    }

    fn keep(&self, rows: impl Iterator<Item = Taken>) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    }
}

impl Road {
    /// What [`Road::take`] gives, of the urgent lane.
    pub(super) async fn take_codes(&self, lease: Lease, now: Timestamp, most: usize) -> Answer {
        let mut question = self.beside.question.lock().await;
        loop {
            let arrives = self.beside.arrived.notified();
            let arrived = self.arrived(Lane::Urgent, now, most).await;
            let mut taken = self.sort_records(arrived, lease, now).await;
            if taken.len() < most {
                taken.extend(self.sort_rows(self.beside.left(most - taken.len(), now)).await);
            }
            let moment = self.parts.clock.moment();
            let hurries = !taken.is_empty();
            let soon = question.last.is_some_and(|last| moment.since(last) < ASKED_EVERY);
            if question.asked.is_none() && !(hurries && soon) && !self.store_answers.is_away() {
                let store = Arc::clone(&self.parts.store);
                question.last = Some(moment);
                question.asked = Some(tokio::spawn(async move { store.lease(Lane::Urgent, lease, now, most).await }));
            }
            let answered = question.asked.as_ref().is_some_and(JoinHandle::is_finished);
            if hurries && !answered {
                return Ok(taken);
            }
            // Nobody can be asked: what Kafka brings is all there is.
            let Some(asked) = &mut question.asked else { return Ok(taken) };
            let answer = tokio::select! {
                biased;
                answer = asked => answer,
                () = arrives, if taken.is_empty() => continue,
            };
            question.asked = None;
            let answer = answer.unwrap_or_else(|died| Err(Error::Broken(died.into())));
            return self.with_rows(taken, self.heard(answer), most).await;
        }
    }

    async fn with_rows(&self, mut taken: Vec<Taken>, answer: Answer, most: usize) -> Answer {
        match answer {
            Ok(mut rows) => {
                self.beside.keep(rows.drain(rows.len().min(most - taken.len())..));
                taken.extend(self.sort_rows(rows).await);
            }
            // Kafka alone is enough to go on with.
            Err(error) if error.is_unavailable() => {}
            Err(error) if taken.is_empty() => return Err(error),
            Err(error) => tracing::warn!(lane = "urgent", error = &error as &dyn std::error::Error, "no rows could be taken"),
        }
        Ok(taken)
    }

    /// Gives back the rows that nobody took, once nobody takes any more.
    pub(super) async fn give_rows_back(&self) {
        let now = self.parts.clock.now();
        let mut rows = self.beside.left(usize::MAX, now);
        if let Some(asked) = self.beside.question.lock().await.asked.take()
            && let Ok(Ok(Ok(more))) = tokio::time::timeout(AT_THE_END, asked).await
        {
            rows.extend(more);
        }
        let Some(owner) = rows.first().map(|row| row.lease.owner) else { return };
        let ids = rows.into_iter().map(|row| row.message.id).collect();
        // Failing, their leases run out by themselves.
        drop(self.ask_store(self.parts.store.hand_back(ids, owner, now)).await);
    }
}
