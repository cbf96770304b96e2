//! The life of a message as one table.
//!
//! Facts about a message arrive from several places, twice and in any order: an attempt ends on a worker, its receipt was
//! there before, somebody cancels meanwhile. Nobody overwrites a status; everybody asks [`Status::may_become`], and the
//! store asks the same table inside its update ([`Status::mask_of_predecessors`]). So the status only ever goes forward,
//! whoever comes last.

super::words! {
    /// Where a message stands.
    Status {
        /// Durable and waiting for a worker.
        Accepted = "accepted",
        /// Waits until somebody releases it.
        Held = "held",
        /// Waits for its `send_at`.
        Scheduled = "scheduled",
        /// A worker has begun: between its first attempt and its last.
        Delivering = "delivering",
        /// A provider took it. Final where the provider sends no receipts.
        Submitted = "submitted",
        Delivered = "delivered",
        Undelivered = "undelivered",
        /// Known not sent, and given up.
        Failed = "failed",
        /// Known not sent, and too late.
        Expired = "expired",
        Cancelled = "cancelled",
        /// The last attempt may have been sent and the category forbids a blind repetition. A receipt may still resolve it.
        Unknown = "unknown",
    }
}

use Status::{Accepted, Cancelled, Delivered, Delivering, Expired, Failed, Held, Scheduled, Submitted, Undelivered, Unknown};

impl Status {
    /// The statuses that may directly follow this one.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            // A receipt may be there before the row says that a worker has begun.
            Accepted | Scheduled => &[Delivering, Submitted, Delivered, Undelivered, Failed, Expired, Cancelled, Unknown],
            Held => &[Accepted, Scheduled, Failed, Expired, Cancelled],
            Delivering => &[Submitted, Delivered, Undelivered, Failed, Expired, Cancelled, Unknown],
            Submitted => &[Delivered, Undelivered],
            Unknown => &[Submitted, Delivered, Undelivered],
            Delivered | Undelivered | Failed | Expired | Cancelled => &[],
        }
    }

    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }

    /// Bit `i` is set if the status with [`Status::index`] `i` may become this one: the table as SQL can ask it.
    pub fn mask_of_predecessors(self) -> i64 {
        Self::ALL.iter().filter(|from| from.may_become(self)).fold(0, |mask, from| mask | 1 << from.index())
    }

    /// Nothing more is expected to happen, except that a receipt may resolve `unknown` or complete `submitted`.
    pub const fn is_closed(self) -> bool {
        matches!(self, Submitted | Delivered | Undelivered | Failed | Expired | Cancelled | Unknown)
    }

    /// Nothing can happen any more.
    pub const fn is_final(self) -> bool {
        self.successors().is_empty()
    }

    /// Whether a worker still has something to do for it, now or later.
    pub const fn is_open(self) -> bool {
        !self.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the documentation, row by row: `x` where the column may follow the row.
    const TABLE: [(&str, Status); 11] = [
        ("...xxxxxxxx", Accepted),
        ("x.x....xxx.", Held),
        ("...xxxxxxxx", Scheduled),
        ("....xxxxxxx", Delivering),
        (".....xx....", Submitted),
        ("...........", Delivered),
        ("...........", Undelivered),
        ("...........", Failed),
        ("...........", Expired),
        ("...........", Cancelled),
        ("....xxx....", Unknown),
    ];

    #[test]
    fn every_pair_is_as_the_table_says() {
        let mut pairs = 0;
        for (row, from) in TABLE {
            for (mark, to) in row.bytes().zip(Status::ALL) {
                assert_eq!(from.may_become(*to), mark == b'x', "{from} to {to}");
                assert_eq!(to.mask_of_predecessors() >> from.index() & 1 == 1, mark == b'x', "mask of {to}, bit {from}");
                pairs += 1;
            }
        }
        assert_eq!(pairs, 121);
    }

    #[test]
    fn no_status_comes_back() {
        fn reaches(from: Status, to: Status) -> bool {
            from.successors().iter().any(|next| *next == to || reaches(*next, to))
        }
        for status in Status::ALL {
            assert!(!reaches(*status, *status), "{status} can follow itself");
        }
    }
}
