//! What listings of every store have in common: which way they walk, and how far.
//!
//! A listing walks ids from the newest down by the narrowest way that its filter offers; what the way does not decide is
//! looked at row by row. So a filter with rare matches would read the whole table. Instead each statement looks at some
//! hundred rows and a page ends when its time is up: it may be short, and its cursor goes on where it stopped.

use std::time::Duration;

use tidings_core::{
    id::{AppId, MessageId, uuid_v7},
    message::{Recipient, Status},
};
use uuid::Uuid;

use super::Filter;

/// Rows that one statement looks at.
pub const STEP: usize = 2_048;
/// A page looks no further after this. With the step that is under way then, and everything around it, a page is answered
/// within 50 ms.
pub const PATIENCE: Duration = Duration::from_millis(20);

/// The narrowest way to what a filter wants.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    Recipient(&'a Recipient),
    Reference(&'a str),
    /// One of the statuses that have an index of their own.
    Unusual(Status),
    App(AppId),
    All,
}

impl Filter {
    pub fn way(&self) -> Way<'_> {
        match (&self.to, &self.reference, self.status, self.app) {
            (Some(to), ..) => Way::Recipient(to),
            (_, Some(reference), ..) => Way::Reference(reference),
            (_, _, Some(status), _) if is_unusual(status) => Way::Unusual(status),
            (.., Some(app)) => Way::App(app),
            _ => Way::All,
        }
    }

    /// The ids that a listing walks: from the first, inclusive, to the second, exclusive. Ids carry their time.
    pub fn span(&self, before: Option<MessageId>) -> (Uuid, Uuid) {
        let until = self.until.map_or(Uuid::max(), |until| uuid_v7(until, [0; 10]));
        let from = self.from.map_or(Uuid::nil(), |from| uuid_v7(from, [0; 10]));
        (from, before.map_or(until, |before| before.uuid().min(until)))
    }
}

/// The statuses that operators look for and that few messages have: the same as in SQLite's index
/// `messages_unusual` and PostgreSQL's column `unusual`.
pub const UNUSUAL: &str = "status IN (1, 6, 7, 8, 9, 10)";

fn is_unusual(status: Status) -> bool {
    use Status::{Cancelled, Expired, Failed, Held, Undelivered, Unknown};
    matches!(status, Held | Undelivered | Failed | Expired | Cancelled | Unknown)
}

#[cfg(test)]
pub mod tests {
    use tidings_core::{
        message::{Category, Channel},
        redact::Redacted,
        time::Timestamp,
    };

    use super::*;

    #[test]
    fn the_index_of_unusual_statuses_holds_just_those() {
        let numbers: Vec<String> =
            Status::ALL.iter().filter(|status| is_unusual(**status)).map(|status| status.index().to_string()).collect();
        assert_eq!(UNUSUAL, format!("status IN ({})", numbers.join(", ")));
    }

    type Change = Box<dyn Fn(&mut Filter)>;

    /// Every filter alone, and every two together.
    pub fn every_filter() -> Vec<Filter> {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let app = AppId::new(at, [1; 10]);
        let mut one: Vec<Change> = vec![
            Box::new(|_| {}),
            Box::new(move |filter| filter.app = Some(app)),
            Box::new(|filter| filter.to = Some(Redacted::new("+4915112345678".to_owned()))),
            Box::new(|filter| filter.channel = Some(Channel::Sms)),
            Box::new(|filter| filter.category = Some(Category::Otp)),
            Box::new(|filter| filter.reference = Some("order-1".to_owned())),
            Box::new(|filter| filter.template = Some(("login-code".to_owned(), None))),
            Box::new(|filter| filter.template = Some(("login-code".to_owned(), Some(1)))),
            Box::new(|filter| filter.provider = Some("a".to_owned())),
            Box::new(|filter| filter.test = Some(false)),
            Box::new(move |filter| filter.from = Some(at)),
            Box::new(move |filter| filter.until = Some(at)),
        ];
        for status in Status::ALL {
            one.push(Box::new(move |filter| filter.status = Some(*status)));
        }
        let mut all = Vec::new();
        for first in &one {
            for second in &one {
                for with_app in [false, true] {
                    let mut filter = Filter { app: with_app.then_some(app), ..Filter::default() };
                    first(&mut filter);
                    second(&mut filter);
                    all.push(filter);
                }
            }
        }
        all
    }
}
