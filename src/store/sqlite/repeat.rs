//! One statement for many rows in one hand-over.
//!
//! Each call to SQLite crosses to the connection's thread and back, which costs more than a small statement itself. So a
//! statement is written out 32 or 8 times in one prepared text ([`Repeated`]), and a whole tick's rows cross in a few
//! hand-overs. Rows that are only inserted share one statement ([`Inserted`]): starting one costs as much as a small row.

use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, Row, SqliteConnection, sqlite::SqliteArguments};

/// How many rows cross together; the last must be 1. Few sizes, because each is a prepared statement of its own.
const SIZES: [usize; 3] = [32, 8, 1];
/// The same for rows that are only inserted, which batches bring by the thousand: one statement, so no limit but its 32,766 values.
const INSERT_SIZES: [usize; 4] = [256, 32, 8, 1];

/// A statement that is executed once a row.
pub struct Repeated {
    sql: &'static str,
    texts: OnceLock<[Arc<str>; SIZES.len()]>,
}

impl Repeated {
    pub const fn new(sql: &'static str) -> Self {
        Self { sql, texts: OnceLock::new() }
    }

    /// Executes the statement for each row. An execution's answer is the number that its `RETURNING` gave: `None` where it
    /// changed nothing.
    pub async fn run<R>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Result<(), sqlx::error::BoxDynError>,
    ) -> Result<Vec<Option<i64>>, sqlx::Error> {
        let texts = self.texts.get_or_init(|| SIZES.map(|size| Arc::from(format!("{};", self.sql).repeat(size))));
        let mut answers = Vec::with_capacity(rows.len());
        for (size, text) in SIZES.into_iter().zip(texts) {
            while rows.len() >= size {
                let (chunk, rest) = rows.split_at(size);
                rows = rest;
                let mut arguments = SqliteArguments::default();
                for row in chunk {
                    bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
                }
                let mut results = connection.fetch_many(sqlx::query_with(AssertSqlSafe(Arc::clone(text)), arguments));
                let mut returned = None;
                while let Some(result) = results.try_next().await? {
                    match result {
                        Either::Right(row) => returned = Some(row.try_get(0)?),
                        Either::Left(_) => answers.push(returned.take()),
                    }
                }
            }
        }
        Ok(answers)
    }
}

/// An `INSERT` of many rows.
pub struct Inserted {
    /// Up to its `VALUES`.
    sql: &'static str,
    columns: usize,
    texts: OnceLock<[Arc<str>; INSERT_SIZES.len()]>,
}

impl Inserted {
    pub const fn new(sql: &'static str, columns: usize) -> Self {
        Self { sql, columns, texts: OnceLock::new() }
    }

    /// Inserts all rows.
    pub async fn run<R>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Result<(), sqlx::error::BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        let texts = self.texts.get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            INSERT_SIZES.map(|size| Arc::from(format!("{} VALUES {}", self.sql, vec![row.as_str(); size].join(", "))))
        });
        for (size, text) in INSERT_SIZES.into_iter().zip(texts) {
            while rows.len() >= size {
                let (chunk, rest) = rows.split_at(size);
                rows = rest;
                let mut arguments = SqliteArguments::default();
                for row in chunk {
                    bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
                }
                connection.execute(sqlx::query_with(AssertSqlSafe(Arc::clone(text)), arguments)).await?;
            }
        }
        Ok(())
    }
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
