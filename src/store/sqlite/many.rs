//! One statement for all rows of a tick.
//!
//! Each call to SQLite crosses to the connection's thread and back, and starting a statement costs as much as changing a small
//! row. So a tick's rows cross together, as the table `given` of one statement. The number of rows is part of a prepared
//! statement's text: there are few sizes, and what is missing to the next one is filled up with NULLs, which no key equals.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, OnceLock},
};

use futures_util::TryStreamExt;
use sqlx::{
    Arguments, AssertSqlSafe, Executor, Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};
use tidings_core::id::MessageId;
use uuid::Uuid;

/// Rows that cross together. A prepared statement keeps about a hundred bytes for each value of each row, and the largest are as
/// large as all others together; past a few hundred rows crossing less often gives nothing.
const SIZES: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];
/// Up to so many cross together even if they fill little more than half of a size: a row less than nothing costs less than one more
/// crossing.
const SMALL: usize = 16;

pub type Bound = Result<(), sqlx::error::BoxDynError>;

/// A statement over the table `given`.
pub struct Many {
    /// The columns of `given`, comma between them.
    given: &'static str,
    sql: &'static str,
    texts: OnceLock<[Arc<str>; SIZES.len()]>,
}

impl Many {
    pub const fn new(given: &'static str, sql: &'static str) -> Self {
        Self { given, sql, texts: OnceLock::new() }
    }

    fn columns(&self) -> usize {
        self.given.split(',').count()
    }

    pub(super) fn text(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns()].join(", "));
        format!("WITH given({}) AS (VALUES {}) {}", self.given, vec![row.as_str(); rows].join(", "), self.sql)
    }

    /// Executes it for all rows; how many it changed.
    pub async fn run<R>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
    ) -> Result<u64, sqlx::Error> {
        let mut changed = 0;
        while let Some((text, arguments)) = self.next(&mut rows, &bind)? {
            changed += connection.execute(sqlx::query_with(AssertSqlSafe(text), arguments)).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Asks which rows are out of the ordinary: the statement answers with one row, the numbers that `bind` gave to such rows,
    /// comma between them. One answer for all of them, because each row that comes back wakes whoever reads it.
    pub async fn numbers<R>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
    ) -> Result<HashSet<usize>, sqlx::Error> {
        let mut numbers = HashSet::new();
        while let Some((text, arguments)) = self.next(&mut rows, &bind)? {
            let answer: Option<String> = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_one(&mut *connection).await?.try_get(0)?;
            for number in answer.as_deref().unwrap_or_default().split_terminator(',') {
                numbers.insert(number.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
            }
        }
        Ok(numbers)
    }

    /// Executes it for all rows, each of one message, and reads what it returned of each: its id first. `None` where it changed
    /// nothing. Of rows with the same message each finds what the one before it left.
    pub async fn returning<R, T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[R],
        id: impl Fn(&R) -> MessageId,
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
        read: impl Fn(&R, &SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<Option<T>>, sqlx::Error> {
        let mut answers: Vec<Option<T>> = rows.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..rows.len()).collect();
        while !left.is_empty() {
            let mut places: HashMap<Uuid, usize> = HashMap::with_capacity(left.len());
            let (mut now, mut later) = (Vec::with_capacity(left.len()), Vec::new());
            for place in left {
                match places.entry(id(&rows[place]).uuid()) {
                    Entry::Vacant(entry) => {
                        entry.insert(place);
                        now.push(&rows[place]);
                    }
                    Entry::Occupied(_) => later.push(place),
                }
            }
            let mut now = now.as_slice();
            while let Some((text, arguments)) = self.next(&mut now, |arguments, row| bind(arguments, row))? {
                let mut returned = connection.fetch(sqlx::query_with(AssertSqlSafe(text), arguments));
                while let Some(row) = returned.try_next().await? {
                    if let Some(place) = places.get(&row.try_get(0)?) {
                        answers[*place] = Some(read(&rows[*place], &row)?);
                    }
                }
            }
            left = later;
        }
        Ok(answers)
    }

    /// The text for the next rows, and their values.
    fn next<R>(
        &self,
        rows: &mut &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
    ) -> Result<Option<(Arc<str>, SqliteArguments)>, sqlx::Error> {
        let Some(place) = size_for(rows.len()) else { return Ok(None) };
        let columns = self.columns();
        let texts = self.texts.get_or_init(|| SIZES.map(|size| Arc::from(self.text(size))));
        let size = SIZES[place];
        let (chunk, rest) = rows.split_at(size.min(rows.len()));
        *rows = rest;
        let mut arguments = SqliteArguments::default();
        arguments.reserve(size * columns, 0);
        for row in chunk {
            bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
        }
        for _ in 0..(size - chunk.len()) * columns {
            arguments.add(None::<i64>).map_err(sqlx::Error::Encode)?;
        }
        Ok(Some((Arc::clone(&texts[place]), arguments)))
    }
}

/// The size that so many rows go by: the next larger one if they fill three quarters of it or are few, the next smaller one if not.
fn size_for(rows: usize) -> Option<usize> {
    SIZES.iter().position(|size| rows * 4 >= size * 3 || (*size <= SMALL && rows * 2 > *size))
}

/// Binds values in order, so that a row's columns read as one list.
macro_rules! bind {
    ($arguments:expr, $($value:expr),+ $(,)?) => {{
        use sqlx::Arguments as _;
        $( $arguments.add($value)?; )+
        Ok(())
    }};
}
pub(super) use bind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_crosses_in_few_hand_overs() {
        for rows in 1..3_000_usize {
            let (mut left, mut hand_overs, mut carried) = (rows, 0, 0);
            while let Some(place) = size_for(left) {
                left = left.saturating_sub(SIZES[place]);
                carried += SIZES[place];
                hand_overs += 1;
            }
            let filled = if rows <= SMALL { carried < rows * 2 } else { carried * 3 <= rows * 4 };
            let most = if rows <= SMALL { 1 } else { rows / SIZES[0] + 5 };
            assert!(left == 0 && filled && hand_overs <= most, "{rows}: {carried} in {hand_overs}");
        }
        assert_eq!((size_for(0), size_for(5_000)), (None, Some(0)));
    }
}
