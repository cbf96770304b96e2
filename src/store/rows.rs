//! What a message's row says, whichever database it comes from.
//!
//! Both name their columns alike and hold the same in them, so what a row means is read in one place. [`Cells`] is all that
//! differs: how a database gives a cell. Statements stay with their database; here is no SQL.

use sqlx::{Row, postgres::PgRow, sqlite::SqliteRow};
use tidings_core::{attempt::Attempt, message::Status, time::Timestamp};
use uuid::Uuid;

use super::{
    Error, Lease, ReceiptFact, Record, Taken,
    codec::{self, Codec, decode_attempts},
};

/// The cells of a row, by column.
pub trait Cells {
    fn number(&self, column: &str) -> Result<i64, Error>;
    fn text(&self, column: &str) -> Result<String, Error>;
    fn text_if_any(&self, column: &str) -> Result<Option<String>, Error>;
    fn bytes(&self, column: &str) -> Result<&[u8], Error>;
    fn bytes_if_any(&self, column: &str) -> Result<Option<&[u8]>, Error>;
    fn uuid(&self, column: &str) -> Result<Uuid, Error>;
    fn time_if_any(&self, column: &str) -> Result<Option<Timestamp>, Error>;
    /// The column `status`.
    fn status(&self) -> Result<Status, Error>;

    fn time(&self, column: &str) -> Result<Timestamp, Error> {
        self.number(column).map(Timestamp::from_millis)
    }

    fn attempts(&self) -> Result<Vec<Attempt>, Error> {
        decode_attempts(self.bytes_if_any("attempts")?)
    }
}

macro_rules! cells {
    ($($row:ty: $status:ty),*) => {$(
        impl Cells for $row {
            fn number(&self, column: &str) -> Result<i64, Error> {
                Ok(self.try_get(column)?)
            }
            fn text(&self, column: &str) -> Result<String, Error> {
                Ok(self.try_get(column)?)
            }
            fn text_if_any(&self, column: &str) -> Result<Option<String>, Error> {
                Ok(self.try_get(column)?)
            }
            fn bytes(&self, column: &str) -> Result<&[u8], Error> {
                Ok(self.try_get(column)?)
            }
            fn bytes_if_any(&self, column: &str) -> Result<Option<&[u8]>, Error> {
                Ok(self.try_get(column)?)
            }
            fn uuid(&self, column: &str) -> Result<Uuid, Error> {
                Ok(self.try_get(column)?)
            }
            fn time_if_any(&self, column: &str) -> Result<Option<Timestamp>, Error> {
                Ok(self.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
            }
            fn status(&self) -> Result<Status, Error> {
                codec::status(self.try_get::<$status, _>("status")?.into())
            }
        }
    )*};
}

cells!(PgRow: i16, SqliteRow: i64);

/// A message without its receipts.
pub fn record(row: &impl Cells, codec: &Codec) -> Result<Record, Error> {
    Ok(Record {
        message: codec.message(row.bytes("body")?)?,
        status: row.status()?,
        attempts: row.attempts()?,
        receipts: Vec::new(),
        released_at: row.time_if_any("released_at")?,
        closed_at: row.time_if_any("closed_at")?,
        due_at: row.time_if_any("due_at")?,
    })
}

/// What was leased, in the order of acceptance, which is that of ids: RETURNING promises none.
pub fn taken(rows: &[impl Cells], codec: &Codec, lease: Lease) -> Result<Vec<Taken>, Error> {
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let message = codec.message(row.bytes("body")?)?.into();
        taken.push(Taken { message, status: row.status()?, attempts: row.attempts()?, lease });
    }
    taken.sort_by_key(|taken: &Taken| taken.message.id);
    Ok(taken)
}

/// A receipt of this provider's about what it calls so.
pub fn receipt(row: &impl Cells, provider: String, provider_message_id: Option<String>) -> Result<ReceiptFact, Error> {
    Ok(ReceiptFact {
        provider,
        provider_message_id,
        reference: None,
        status: row.status()?,
        vendor_status: row.text("vendor_status")?,
        error_code: row.text_if_any("error_code")?,
        at: row.time("at")?,
    })
}

/// All receipts of a message.
pub fn receipts(rows: &[impl Cells]) -> Result<Vec<ReceiptFact>, Error> {
    rows.iter().map(|row| receipt(row, row.text("provider")?, row.text_if_any("provider_message_id")?)).collect()
}
