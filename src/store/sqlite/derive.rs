//! What a start derives from rows again: the pairs that the look-up table may lack, because only memory had them.
//!
//! Mostly they are few, and memory has them again. After a burst they may be millions, and with a queue as long they would be
//! most of what the process holds: then they go into the table, a stretch of messages at a time, each with the mark that
//! nothing before its end is missing.

use futures_util::TryStreamExt;
use sqlx::{Row, SqliteConnection};
use tidings_core::{
    id::{MessageId, uuid_v7},
    time::Timestamp,
};
use uuid::Uuid;

use super::lookups::{self, DERIVED, Pair, pairs_of};
use crate::store::{Error, codec::Codec};

/// As many times what memory takes are written together, 32 bytes a pair: the more they are, the more of them share a page.
const AT_ONCE: usize = 4;

const READ: &str = "SELECT id, app, to_hash, reference_hash, idempotency_key, attempts FROM messages WHERE id >= ? ORDER BY id LIMIT ?";

/// What memory must know: all of it, if no more than `most`; nothing, if it went into the table.
pub async fn for_memory(connection: &mut SqliteConnection, codec: &Codec, most: usize) -> Result<Vec<Pair>, Error> {
    let mut mark = lookups::mark(connection).await?;
    let mut next = Some(first(mark));
    let (mut pairs, mut stored) = (Vec::new(), false);
    while let Some(from) = next {
        let last;
        (last, next) = read(connection, codec, from, most, &mut pairs).await?;
        if pairs.len() >= AT_ONCE * most || (next.is_none() && (stored || pairs.len() > most)) {
            mark = mark.max(last.map_or(mark, MessageId::made_at));
            store(connection, &mut pairs, mark).await?;
            stored = true;
        }
    }
    Ok(pairs)
}

/// All of it, for whoever cannot write.
pub async fn all(connection: &mut SqliteConnection, codec: &Codec) -> Result<Vec<Pair>, Error> {
    let from = first(lookups::mark(connection).await?);
    let mut pairs = Vec::new();
    read(connection, codec, from, usize::MAX, &mut pairs).await?;
    Ok(pairs)
}

/// A message may have been this old when a pair of it came.
fn first(mark: Timestamp) -> Uuid {
    uuid_v7(mark - DERIVED, [0; 10])
}

/// The pairs of so many messages, the last of them, and where the next ones begin.
async fn read(
    connection: &mut SqliteConnection,
    codec: &Codec,
    from: Uuid,
    messages: usize,
    pairs: &mut Vec<Pair>,
) -> Result<(Option<MessageId>, Option<Uuid>), Error> {
    let (mut count, mut last) = (0, None);
    let mut rows = sqlx::query(READ).bind(from).bind(i64::try_from(messages).unwrap_or(i64::MAX)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        pairs.extend(pairs_of(&row, codec)?);
        last = Some(MessageId::from_uuid(row.try_get("id")?));
        count += 1;
    }
    let next = last.filter(|_| count == messages).and_then(|last| last.uuid().as_u128().checked_add(1)).map(Uuid::from_u128);
    Ok((last, next))
}

async fn store(connection: &mut SqliteConnection, pairs: &mut Vec<Pair>, mark: Timestamp) -> Result<(), Error> {
    pairs.sort_unstable();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    lookups::insert(connection, pairs).await?;
    lookups::set_mark(connection, mark).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    pairs.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::{Connection, sqlite::SqliteConnectOptions};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        clock::Clock,
        seal::Keyring,
        store::{
            codec::Lookup,
            sqlite::{Sqlite, lookups::stored},
        },
    };

    const MESSAGES: u8 = 60;

    fn id(number: u8) -> MessageId {
        MessageId::new(Timestamp::from_millis(1_790_000_000_000 + i64::from(number)), [number; 10])
    }

    /// A file with messages of which the table has no pair, as a killed process leaves it: each to a recipient of its own,
    /// every second with a reference.
    async fn file() -> (TempDir, Sqlite, SqliteConnection) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tidings.db");
        let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap());
        let (store, _) = Sqlite::open(&path, keyring, Clock::system(), |_| {}).await.unwrap();
        let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
        for number in 0..MESSAGES {
            sqlx::query(
                "INSERT INTO messages (id, app, status, channel, category, test, accepted_at, expires_at, to_hash, reference_hash, body) \
                 VALUES (?, x'', 0, 0, 0, 0, 0, 0, ?, ?, x'')",
            )
            .bind(id(number).uuid())
            .bind(i64::from(number))
            .bind((number % 2 == 0).then_some(7))
            .execute(&mut connection)
            .await
            .unwrap();
        }
        (folder, store, connection)
    }

    #[tokio::test]
    async fn few_pairs_are_for_memory() {
        let (_folder, store, mut connection) = file().await;
        let pairs = for_memory(&mut connection, &store.shared.codec, 90).await.unwrap();
        assert_eq!(pairs.len(), 90);
        assert!(stored(&store.readers, Lookup::Recipient, 3, id(u8::MAX), 10).await.unwrap().is_empty());
        assert_eq!(lookups::mark(&mut connection).await.unwrap(), Timestamp::from_millis(0));
        assert_eq!(all(&mut connection, &store.shared.codec).await.unwrap(), pairs);
    }

    #[tokio::test]
    async fn many_pairs_go_into_the_table_and_none_into_memory() {
        // By one write, by some with a rest, and by many.
        for most in [89, 20, 1] {
            let (_folder, store, mut connection) = file().await;
            assert!(for_memory(&mut connection, &store.shared.codec, most).await.unwrap().is_empty(), "{most}");
            for number in 0..MESSAGES {
                let found = stored(&store.readers, Lookup::Recipient, i64::from(number), id(u8::MAX), 10).await.unwrap();
                assert_eq!(found, [id(number)], "{most}");
            }
            let of_reference = stored(&store.readers, Lookup::Reference, 7, id(u8::MAX), 100).await.unwrap();
            assert_eq!(of_reference.len(), usize::from(MESSAGES) / 2, "{most}");
            assert_eq!(lookups::mark(&mut connection).await.unwrap(), id(MESSAGES - 1).made_at(), "{most}");
            // What is there already is no obstacle: a start looks a little further back than the mark.
            assert!(for_memory(&mut connection, &store.shared.codec, most).await.unwrap().is_empty(), "{most}");
        }
    }
}
