//! What retention deletes, and when it last looked.

use prometheus::{IntCounter, IntGauge};
use tidings_core::message::Category;

use super::handles::{Names, PerLabel};

/// What is deleted because it is old enough, or because its recipient asked for it.
pub struct Retention {
    /// Messages that were old enough.
    pub forgotten: PerLabel<Category, IntCounter>,
    /// Whole weeks of messages that were dropped at once.
    pub weeks: IntCounter,
    /// Messages of recipients whose data was to be deleted.
    pub erased: IntCounter,
    /// When this process last looked at everything, in seconds since 1970; 0 until it has.
    pub completed: IntGauge,
    pub failures: IntCounter,
}

impl Retention {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            forgotten: names.counter_per("tidings_messages_forgotten_total", "Messages deleted because they were old enough.", "category"),
            weeks: names.counter("tidings_weeks_dropped_total", "Whole weeks of messages dropped because all of it was old enough."),
            erased: names.counter("tidings_messages_erased_total", "Messages deleted because their recipient's data was to be deleted."),
            completed: names.gauge("tidings_retention_completed_seconds", "When retention last looked at everything, in Unix time."),
            failures: names.counter("tidings_retention_failures_total", "Rounds of retention that were given up."),
        }
    }
}
