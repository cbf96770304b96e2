//! Receipts that came before the answer to their submission and were applied when that was settled.
//!
//! Whoever brought such a receipt was told "early" and could not say whose it was; whoever settles knows. A provider's health
//! must learn of it all the same, or a vendor whose receipts outrun its answers looks as if it delivered nothing. The store
//! keeps what it joined until the worker's pulse asks.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tidings_core::{message::Status, time::Timestamp};

/// Kept until they are taken; a process without a worker takes none, so the oldest go.
const MOST: usize = 10_000;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub provider: String,
    /// What the provider says.
    pub says: Status,
    /// When the attempt began that the receipt is about.
    pub submitted_at: Timestamp,
}

/// Those that nobody has asked for yet.
#[derive(Debug, Default)]
pub struct JoinedReceipts(Mutex<VecDeque<Joined>>);

impl JoinedReceipts {
    pub fn add(&self, joined: impl IntoIterator<Item = Joined>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for joined in joined {
            if all.len() == MOST {
                all.pop_front();
            }
            all.push_back(joined);
        }
    }

    pub fn take(&self) -> Vec<Joined> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
