//! Finding messages by what is random: recipient, reference, provider message id, idempotency key.
//!
//! An index on random values dirties a page a row, which alone would halve the rate. So the newest pairs (hash, message) stay
//! in memory, and a full generation is merged into its table in sorted order, a few hundred rows a tick: neighbours share
//! pages. Pairs of messages are derived from rows again at start, from the *mark* on: the oldest time that the table
//! may lack. A pair of a message older than [`DERIVED`] is written at once.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use tidings_core::{id::MessageId, time::Timestamp};

use super::many::{Many, bind};
use crate::store::{
    Error,
    codec::{Codec, Lookup, decode_attempts, short},
};

/// Pairs in memory before they begin to move into the table: about 10 MB.
pub const GENERATION: usize = 100_000;
/// Younger pairs in memory than this leave time for the elder to be merged.
const LEAVES_TIME: usize = GENERATION / 2;
/// Rows merged with each tick, at least: small enough not to be felt. A tick that adds more merges twice what it adds, so
/// that a generation is in its table before the next one is full, however large the batches are.
const MERGED_A_TICK: usize = 512;
/// How long after a message was accepted its pairs may still be only in memory; also how far behind the mark a start looks.
pub const DERIVED: Duration = Duration::from_mins(10);

pub(super) static DELETE: Many =
    Many::new("kind, hash, id", "DELETE FROM lookups WHERE (kind, hash, id) IN (SELECT kind, hash, id FROM given)");
pub(super) static INSERT: Many =
    Many::new("kind, hash, id", "INSERT OR IGNORE INTO lookups (kind, hash, id) SELECT kind, hash, id FROM given WHERE id IS NOT NULL");

pub(super) const STORED: &str = "SELECT id FROM lookups WHERE kind = ? AND hash = ? AND id < ? ORDER BY id DESC LIMIT ?";

pub(super) const STORED_OF_MANY: &str = "SELECT hash, id FROM lookups WHERE kind = ? AND hash IN (SELECT value FROM json_each(?))";

/// What is looked up, its hash, the message.
pub type Pair = (Lookup, i64, MessageId);

#[derive(Default)]
struct Generations {
    growing: BTreeSet<Pair>,
    /// When the first pair of `growing` came.
    since: Option<Timestamp>,
    merging: BTreeSet<Pair>,
    merged_until: Option<Pair>,
}

/// The pairs in memory. Readers look here and then into the table.
#[derive(Default)]
pub struct Recent(RwLock<Generations>);

/// What one tick moves into the table.
pub struct Merge {
    pub pairs: Vec<Pair>,
    /// Set when the generation is complete with these: the new mark.
    pub mark: Option<Timestamp>,
}

impl Recent {
    pub fn add(&self, pairs: impl IntoIterator<Item = Pair>, now: Timestamp) {
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        generations.since.get_or_insert(now);
        generations.growing.extend(pairs);
    }

    /// The messages in memory with this hash.
    pub fn find(&self, lookup: Lookup, hash: i64) -> Vec<MessageId> {
        let generations = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let first = (lookup, hash, MessageId::from_uuid(uuid::Uuid::nil()));
        let last = (lookup, hash, MessageId::from_uuid(uuid::Uuid::max()));
        let range = (Bound::Included(first), Bound::Included(last));
        generations.growing.range(range).chain(generations.merging.range(range)).map(|pair| pair.2).collect()
    }

    /// Their messages are gone.
    pub fn remove(&self, pairs: &BTreeSet<Pair>) {
        if pairs.is_empty() {
            return;
        }
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for pair in pairs {
            generations.growing.remove(pair);
            generations.merging.remove(pair);
        }
    }

    /// The next rows to merge, if a generation is full. `added` pairs come with the same tick. One that somebody outside waits for
    /// leaves it to the others as long as there is time.
    pub fn next_merge(&self, added: usize, waited_for: bool, now: Timestamp) -> Option<Merge> {
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if waited_for && generations.growing.len() < LEAVES_TIME {
            return None;
        }
        if generations.merging.is_empty() {
            if generations.growing.len() < GENERATION {
                return None;
            }
            generations.merging = std::mem::take(&mut generations.growing);
            generations.merged_until = None;
            generations.since = None;
        }
        let after = generations.merged_until.map_or(Bound::Unbounded, Bound::Excluded);
        let pairs: Vec<Pair> = generations.merging.range((after, Bound::Unbounded)).take(MERGED_A_TICK.max(2 * added)).copied().collect();
        let complete = pairs.last() == generations.merging.last();
        // Whatever came before the generation that grows now is in the table once this one is.
        let mark = complete.then(|| generations.since.unwrap_or(now));
        Some(Merge { pairs, mark })
    }

    /// The rows of `merge` are in the table.
    pub fn merged(&self, merge: &Merge) {
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        generations.merged_until = merge.pairs.last().copied();
        if merge.mark.is_some() {
            generations.merging = BTreeSet::new();
        }
    }
}

/// Writes pairs into the table.
pub async fn insert(connection: &mut SqliteConnection, pairs: &[Pair]) -> Result<(), sqlx::Error> {
    let bind =
        |arguments: &mut sqlx::sqlite::SqliteArguments, (lookup, hash, id): &Pair| bind!(arguments, *lookup as i64, *hash, id.uuid());
    INSERT.run(connection, pairs, bind).await.map(drop)
}

/// Takes pairs out of the table.
pub async fn delete(connection: &mut SqliteConnection, pairs: &[Pair]) -> Result<(), sqlx::Error> {
    let bind =
        |arguments: &mut sqlx::sqlite::SqliteArguments, (lookup, hash, id): &Pair| bind!(arguments, *lookup as i64, *hash, id.uuid());
    DELETE.run(connection, pairs, bind).await.map(drop)
}

/// The oldest time that the table may lack.
pub async fn mark(connection: &mut SqliteConnection) -> Result<Timestamp, Error> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'lookup_mark'").fetch_optional(connection).await?;
    let millis = match row {
        Some(row) => row.try_get::<Vec<u8>, _>(0)?.try_into().map_or(0, i64::from_be_bytes),
        None => 0,
    };
    Ok(Timestamp::from_millis(millis))
}

pub async fn set_mark(connection: &mut SqliteConnection, mark: Timestamp) -> Result<(), Error> {
    sqlx::query("INSERT OR REPLACE INTO meta (name, value) VALUES ('lookup_mark', ?)")
        .bind(mark.as_millis().to_be_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// What a message's row is looked up by.
pub fn pairs_of(row: &SqliteRow, codec: &Codec) -> Result<Vec<Pair>, Error> {
    let id = MessageId::from_uuid(row.try_get("id")?);
    let mut pairs = vec![(Lookup::Recipient, row.try_get("to_hash")?, id)];
    if let Some(hash) = row.try_get("reference_hash")? {
        pairs.push((Lookup::Reference, hash, id));
    }
    if let Some(Ok(key)) = row.try_get::<Option<Vec<u8>>, _>("idempotency_key")?.map(<[u8; 16]>::try_from) {
        pairs.push((Lookup::Idempotency, short(key), id));
    }
    for attempt in decode_attempts(row.try_get("attempts")?)? {
        if let Some(provider_message_id) = attempt.ended.and_then(|ended| ended.provider_message_id) {
            pairs.push((Lookup::ProviderMessageId, codec.provider_message_id(&attempt.opened.provider, &provider_message_id), id));
        }
    }
    Ok(pairs)
}

/// The messages in the table with this hash, newest first, older than `before`.
pub async fn stored(pool: &SqlitePool, lookup: Lookup, hash: i64, before: MessageId, limit: usize) -> Result<Vec<MessageId>, sqlx::Error> {
    let rows = sqlx::query(STORED)
        .bind(lookup as i64)
        .bind(hash)
        .bind(before.uuid())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| row.try_get(0).map(MessageId::from_uuid)).collect()
}

/// Messages that may have used one of these idempotency keys, each with the place of the key: those in memory, then the
/// others, newest first.
pub async fn by_key(pool: &SqlitePool, recent: &Recent, keys: &[[u8; 16]]) -> Result<Vec<(usize, MessageId)>, sqlx::Error> {
    let mut found = Vec::new();
    let mut places: HashMap<i64, Vec<usize>> = HashMap::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let hash = short(*key);
        found.extend(recent.find(Lookup::Idempotency, hash).into_iter().map(|id| (place, id)));
        places.entry(hash).or_default().push(place);
    }
    let hashes = serde_json::Value::from(places.keys().copied().collect::<Vec<i64>>()).to_string();
    let rows = sqlx::query(STORED_OF_MANY).bind(Lookup::Idempotency as i64).bind(hashes).fetch_all(pool).await?;
    let stored = rows.iter().map(|row| Ok((MessageId::from_uuid(row.try_get(1)?), row.try_get(0)?)));
    let mut stored: Vec<(MessageId, i64)> = stored.collect::<Result<_, sqlx::Error>>()?;
    stored.sort_unstable_by(|one, other| other.cmp(one));
    for (id, hash) in stored {
        found.extend(places.get(&hash).into_iter().flatten().map(|place| (*place, id)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_however_large_the_batches_are() {
        let recent = Recent::default();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut most = 0;
        for tick in 0..1_000_u32 {
            if let Some(merge) = recent.next_merge(4_000, true, now) {
                recent.merged(&merge);
            }
            let id = |number: u32| MessageId::new(now, std::array::from_fn(|at| number.to_be_bytes()[at % 4]));
            recent.add((0..4_000).map(|number| (Lookup::Recipient, i64::from(number), id(tick * 4_000 + number))), now);
            let generations = recent.0.read().unwrap();
            most = most.max(generations.growing.len() + generations.merging.len());
        }
        assert!(most <= 2 * GENERATION + 3 * 4_000, "{most} pairs in memory");
    }

    #[test]
    fn what_somebody_waits_for_leaves_merging_to_others_while_there_is_time() {
        let recent = Recent::default();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let pairs =
            |count: usize| (0..count as u128).map(|number| (Lookup::Recipient, 0, MessageId::from_uuid(uuid::Uuid::from_u128(number))));
        recent.add(pairs(GENERATION), now);
        recent.merged(&recent.next_merge(1, true, now).unwrap());
        assert!(recent.next_merge(1, true, now).is_none(), "the generation is on its way, and a new one hardly begun");
        recent.merged(&recent.next_merge(1, false, now).unwrap());
        recent.add(pairs(LEAVES_TIME), now);
        assert!(recent.next_merge(1, true, now).is_some());
    }
}
