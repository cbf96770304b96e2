//! A made-up installation, in the middle of a bad evening: what the tests render and the preview shows.
//!
//! It is Saturday, 21 November 2026, 10:00 in Berlin. Since last evening `aliyun-main` hangs; `tencent-main` carries its
//! traffic. All numbers are from ranges that are nobody's or are masked already.

mod backend;
mod control;
mod messages;
mod providers;

pub use self::{
    backend::SampleBackend,
    control::{
        app_detail, apps, audit, request_detail, requests, revision_detail, revisions, root, signatures, suppressions, templates, users,
        viewer,
    },
    messages::{message_delivered_after_failover, message_failed, message_rows, message_scheduled, message_undelivered, message_unknown},
    providers::{overview, provider_detail, provider_healthy, provider_rows},
};

use tidings_core::{id::MessageId, time::Timestamp};

/// When the samples take place.
pub const NOW: Timestamp = Timestamp::from_millis(1_795_251_600_000);

/// A moment before [`NOW`].
pub(crate) fn before(seconds: u64) -> Timestamp {
    NOW - std::time::Duration::from_secs(seconds)
}

pub(crate) fn id(number: u8) -> MessageId {
    MessageId::new(before(u64::from(number) * 60), [number; 10])
}

/// Numbers that look like traffic without being random.
pub(crate) fn wave(at: usize, level: f64, swing: f64) -> f64 {
    let at = at as f64;
    level + swing * ((at / 7.0).sin() + (at / 2.3).sin() / 3.0)
}
