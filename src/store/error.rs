//! Why a store could not do what it was asked: two meanings, because callers do two different things about them.

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is away, full or too slow: the same call may work later, and this one may have happened.
    #[error("the store is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// What is kept cannot be understood, or a statement is wrong: asking again does not help.
    #[error("the store is broken")]
    Broken(#[source] anyhow::Error),
}

impl Error {
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for Error {
    /// A lost connection, a full disk and a busy file pass; everything else is a defect.
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                true
            }
            sqlx::Error::Database(database) => database.code().is_some_and(|code| passes(&code)),
            _ => false,
        };
        if passing { Self::Unavailable(error.into()) } else { Self::Broken(error.into()) }
    }
}

/// SQLite's primary codes are small numbers (extended ones carry them in the low byte), PostgreSQL's have five characters.
fn passes(code: &str) -> bool {
    /// BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN.
    const SQLITE: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];
    /// Connection, resources, operator intervention, system error, serialization and deadlock, a standby, and sessions that the
    /// server ended because this process stood still with a transaction open.
    const POSTGRES: [&str; 8] = ["08", "53", "57", "58", "40", "25006", "25P03", "25P04"];
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => SQLITE.contains(&(number & 0xff)),
        _ => POSTGRES.iter().any(|class| code.starts_with(class)),
    }
}
