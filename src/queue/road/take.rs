//! Taking: what Kafka brought and what is due in the store, each looked up among the claims first, unless it is so
//! fresh that probably nobody has claimed it: then the first claim that is written finds out.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tidings_core::{
    attempt::{Attempt, steps},
    id::MessageId,
    message::{Lane, Status},
    time::Timestamp,
};

use super::{
    Road, Token,
    hands::{Arrived, Authority, Held},
};
use crate::{
    queue::{Fact, Settled, envelope::Progress, kafka::Publish},
    shared::{Away, Claim, ClaimState, Shared},
    store::{Error, Lease, Messages, NewMessage, Next, Settlement, Taken},
};

/// Another's lease is long, and its call usually short: look again by then at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// After another's lease, or when something that must be asked was away.
const LATER: Duration = Duration::from_secs(1);

/// What a claim says about a message that was taken.
enum Verdict {
    Go(Vec<Attempt>),
    /// Somebody else's: look again then.
    Later(Duration),
    /// It was decided; everybody must know.
    Decided(Progress),
    /// Somebody cancelled it.
    Cancelled,
    Over,
}

fn verdict(claim: Option<Claim>, owner: i64) -> Verdict {
    let Some(claim) = claim else { return Verdict::Go(Vec::new()) };
    let progress = || serde_json::from_slice::<Progress>(&claim.body).ok();
    match claim.state {
        ClaimState::Cancelled => Verdict::Cancelled,
        ClaimState::Done => progress().map_or(Verdict::Over, Verdict::Decided),
        ClaimState::Open | ClaimState::Between if claim.owner != owner && !claim.lease_left.is_zero() => {
            Verdict::Later(claim.lease_left.min(LOOK_AGAIN))
        }
        ClaimState::Open | ClaimState::Between => Verdict::Go(progress().map_or_else(Vec::new, |progress| progress.attempts)),
    }
}

impl Verdict {
    /// Without an open attempt of this number, which its owner knows was never sent.
    fn without(self, unsent: Option<u32>) -> Self {
        match (self, unsent) {
            (Self::Go(mut attempts), Some(unsent)) => {
                attempts.retain(|attempt| !(attempt.is_open() && attempt.opened.number == unsent));
                Self::Go(attempts)
            }
            (verdict, _) => verdict,
        }
    }

    /// What the owner itself remembers may be more than what it could write down.
    fn with(mut self, known: Vec<Attempt>) -> Self {
        if let Self::Go(attempts) = &mut self {
            further(attempts, known);
        }
        self
    }
}

impl Road {
    pub(super) async fn take(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error> {
        let arrived = self.arrived(lane, now, most).await;
        let mut taken = self.sort_records(arrived, lease, now).await;
        if taken.len() < most {
            match self.ask_store(self.parts.store.lease(lane, lease, now, most - taken.len())).await {
                Ok(rows) => taken.extend(self.sort_rows(rows).await),
                // Kafka alone is enough to go on with, and what it brought is in our hands already.
                Err(error) if error.is_unavailable() => {}
                Err(error) if taken.is_empty() => return Err(error),
                Err(error) => tracing::warn!(lane = lane.as_str(), error = &error as &dyn std::error::Error, "no rows could be taken"),
            }
        }
        Ok(taken)
    }

    /// Records of a lane, those that were put off and are due first.
    pub(super) async fn arrived(&self, lane: Lane, now: Timestamp, most: usize) -> Vec<Arrived> {
        let (mut arrived, has_room) = {
            let mut hands = self.hands();
            (hands.put_off.due(lane, now, most), hands.put_off.has_room(lane))
        };
        let Some(consumer) = self.consumer.get() else { return arrived };
        let most = if has_room { most - arrived.len() } else { 0 };
        for record in consumer.take(lane.index(), most) {
            match self.parts.envelopes.read(&record.value) {
                Ok(Fact::Accepted(new)) => {
                    let fresh = record.fresh && new.message.first_due() <= now;
                    arrived.push(Arrived { new, token: record.token, fresh, unsent: None, attempts: Vec::new() });
                }
                Ok(_) => self.bury(lane, &record.value, "a fact that does not belong into this topic", record.token).await,
                Err(error) => self.bury(lane, &record.value, &error.to_string(), record.token).await,
            }
        }
        let mut hands = self.hands();
        // A record that came twice, or a message whose row we hold: it is finished with what is under way.
        arrived.retain(|arrived| match hands.held.get_mut(&arrived.new.message.id) {
            Some(held) => {
                held.tokens.push(arrived.token);
                false
            }
            None => true,
        });
        arrived
    }

    /// Puts a record that nobody understands among the dead letters; it stays in its partition if even that fails.
    async fn bury(&self, lane: Lane, value: &[u8], reason: &str, token: Token) {
        let key = self.parts.topics.messages(lane);
        let topic = self.parts.topics.dead();
        let letter = Publish { topic: &topic, key: Some(key.as_bytes()), value, traceparent: None, reason: Some(reason) };
        tracing::error!(lane = lane.as_str(), reason, "a record goes to the dead letters");
        if self.parts.producer.publish(&[letter]).await.iter().all(Result::is_ok) {
            self.finish(&[token]);
        }
    }

    fn put_off(&self, arrived: Arrived, until: Timestamp) {
        self.hands().put_off.add(arrived.new.message.lane(), until, arrived);
    }

    pub(super) async fn sort_records(&self, arrived: Vec<Arrived>, lease: Lease, now: Timestamp) -> Vec<Taken> {
        if arrived.is_empty() {
            return Vec::new();
        }
        let Ok(claims) = self.claims_of(&arrived).await else {
            self.keys.went_away(now);
            return self.by_row(arrived, lease, now).await;
        };
        let (mut taken, mut decided) = (Vec::new(), Vec::new());
        for mut arrived in arrived {
            let claim = claims.get(&arrived.new.message.id).cloned();
            let unseen = claim.is_none();
            let known = std::mem::take(&mut arrived.attempts);
            let unsent = arrived.unsent.filter(|_| claim.as_ref().is_some_and(|claim| claim.owner == lease.owner));
            match verdict(claim, lease.owner).without(unsent).with(known) {
                Verdict::Go(attempts) if attempts.is_empty() && arrived.new.message.first_due() > now => self.park(arrived, now).await,
                Verdict::Go(attempts) => {
                    let message = arrived.new.message.clone();
                    let status = if attempts.is_empty() { message.first_status() } else { Status::Delivering };
                    // The same message twice in one batch: its second record is finished with the first.
                    if self.hold(Held { unseen, ..Held::record(arrived, Authority::Claim, lease) }) {
                        taken.push(Taken { message, status, attempts, lease });
                    }
                }
                Verdict::Later(left) => self.put_off(arrived, now + left + LATER),
                Verdict::Decided(progress) => decided.push(self.decided(arrived, progress, now)),
                Verdict::Cancelled | Verdict::Over => self.finish(&[arrived.token]),
            }
        }
        // Together: after a partition has moved these are most of what it brings.
        join_all(decided).await;
        taken
    }

    /// The claims of records, as far as somebody may have written one.
    async fn claims_of(&self, arrived: &[Arrived]) -> Result<HashMap<MessageId, Claim>, Away> {
        let ids: Vec<MessageId> = arrived.iter().filter(|arrived| !arrived.fresh).map(|arrived| arrived.new.message.id).collect();
        let claims = self.parts.shared.claims(&ids).await?;
        Ok(ids.into_iter().zip(claims).filter_map(|(id, claim)| Some((id, claim?))).collect())
    }

    /// Somebody decided and may have died before everybody knew: say it again.
    async fn decided(&self, arrived: Arrived, progress: Progress, now: Timestamp) {
        let next = progress.next();
        let settled = Settled { new: arrived.new.clone(), attempts: progress.attempts, next, at: now };
        match self.tell(settled).await {
            Ok(()) => self.finish(&[arrived.token]),
            Err(_) => self.put_off(arrived, now + LATER),
        }
    }

    /// A message that has to wait and could not be parked when it was accepted.
    async fn park(&self, arrived: Arrived, now: Timestamp) {
        let next = Next::Wait(arrived.new.message.first_due());
        let stored = if arrived.new.message.hold {
            self.ask_store(self.parts.store.accept(vec![arrived.new.clone()])).await.map(drop)
        } else {
            self.tell(Settled { new: arrived.new.clone(), attempts: Vec::new(), next, at: now }).await
        };
        match stored {
            Ok(()) => self.finish(&[arrived.token]),
            Err(_) => self.put_off(arrived, now + LATER),
        }
    }

    /// Redis is away: the row says who may. Once it is there and leased, the record is finished.
    async fn by_row(&self, arrived: Vec<Arrived>, lease: Lease, now: Timestamp) -> Vec<Taken> {
        let messages: Vec<NewMessage> = arrived.iter().map(|arrived| arrived.new.clone()).collect();
        match Box::pin(self.ask_store(self.parts.store.adopt(&messages, lease))).await {
            Ok(mut taken) => {
                for taken in &mut taken {
                    if let Some(arrived) = arrived.iter().find(|arrived| arrived.new.message.id == taken.message.id) {
                        self.hold(Held::row(arrived.new.clone(), Authority::Row, lease, &taken.attempts));
                        further(&mut taken.attempts, arrived.attempts.clone());
                    }
                }
                // The others have a row that is closed, or another's.
                self.finish(&arrived.iter().map(|arrived| arrived.token).collect::<Vec<_>>());
                taken
            }
            Err(_) => self.by_nobody(arrived, lease, now),
        }
    }

    /// Redis and the store are away: what may be sent twice goes on, the others wait.
    fn by_nobody(&self, arrived: Vec<Arrived>, lease: Lease, now: Timestamp) -> Vec<Taken> {
        let mut taken = Vec::new();
        for mut arrived in arrived {
            let message = &arrived.new.message;
            let may = message.category.allows_duplicates() && message.first_due() <= now && self.kafka_is_up();
            if may && self.consumer.get().is_some_and(|consumer| consumer.holds(arrived.token)) {
                let message = message.clone();
                let attempts = std::mem::take(&mut arrived.attempts);
                let status = if attempts.is_empty() { message.first_status() } else { Status::Delivering };
                if self.hold(Held::record(arrived, Authority::Claim, lease)) {
                    taken.push(Taken { message, status, attempts, lease });
                }
            } else {
                self.put_off(arrived, now + LATER);
            }
        }
        taken
    }

    /// Rows that are due: their claims may know more than they do.
    pub(super) async fn sort_rows(&self, rows: Vec<Taken>) -> Vec<Taken> {
        if rows.is_empty() {
            return rows;
        }
        let ids: Vec<MessageId> = rows.iter().map(|taken| taken.message.id).collect();
        let claims = self.parts.shared.claims(&ids).await;
        let authority = if claims.is_ok() { Authority::Claim } else { Authority::Row };
        let claims = claims.unwrap_or_else(|_| ids.iter().map(|_| None).collect());
        let mut taken = Vec::with_capacity(rows.len());
        for (mut row, claim) in rows.into_iter().zip(claims) {
            let new = NewMessage::waiting(Arc::clone(&row.message));
            let held = Held { unseen: claim.is_none(), ..Held::row(new.clone(), authority, row.lease, &row.attempts) };
            match verdict(claim, row.lease.owner) {
                Verdict::Go(attempts) => further(&mut row.attempts, attempts),
                // What waited is due again: it goes on where it stopped.
                Verdict::Decided(progress) if matches!(progress.next(), Next::Wait(_)) => further(&mut row.attempts, progress.attempts),
                Verdict::Decided(progress) => {
                    let next = progress.next();
                    let settled = Settled { new, attempts: progress.attempts, next, at: self.parts.clock.now() };
                    // Failing, the row's lease runs out and it is looked at again.
                    drop(self.tell(settled).await);
                    continue;
                }
                Verdict::Later(left) => {
                    self.put_down(row, Next::Wait(self.parts.clock.now() + left + LATER)).await;
                    continue;
                }
                // Whoever cancelled it died before the row said so.
                Verdict::Cancelled => {
                    self.put_down(row, Next::Close(Status::Cancelled)).await;
                    continue;
                }
                // Its lease on the row runs out by itself.
                Verdict::Over => continue,
            }
            if self.hold(held) {
                taken.push(row);
            }
        }
        taken
    }

    /// Gives a row back that is not ours to deliver now. Failing, its lease runs out by itself.
    async fn put_down(&self, row: Taken, next: Next) {
        let (id, lane, at) = (row.message.id, row.message.lane(), self.parts.clock.now());
        let settlement = Settlement { id, lane, owner: row.lease.owner, attempts: row.attempts, next, at };
        drop(self.ask_store(self.parts.store.settle(settlement)).await);
    }

    /// Takes a message into this process's hands. False if it is there already.
    fn hold(&self, held: Held) -> bool {
        let mut hands = self.hands();
        match hands.held.entry(held.new.message.id) {
            Entry::Occupied(mut there) => {
                there.get_mut().tokens.extend(held.tokens);
                false
            }
            Entry::Vacant(free) => {
                free.insert(held);
                true
            }
        }
    }
}

/// Whoever knows more attempts knows more.
fn further(row: &mut Vec<Attempt>, claim: Vec<Attempt>) {
    if steps(&claim) > steps(row) {
        *row = claim;
    }
}
