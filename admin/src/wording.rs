//! Machine words in plain language, and the tone that they are shown in.
//!
//! A tone is a colour *and* a shape; the word itself is always there, so nothing depends on seeing colours.

use tidings_core::{
    attempt::Outcome,
    message::{Lane, Status},
};

use crate::views::{ProviderState, RequestKind, SignalName};

/// `good`, `warn`, `bad`, `busy` (under way) or `idle`: the classes of a chip.
pub const fn status_tone(status: &Status) -> &'static str {
    match status {
        Status::Delivered => "good",
        Status::Submitted | Status::Accepted | Status::Delivering => "busy",
        Status::Held | Status::Scheduled | Status::Cancelled => "idle",
        Status::Unknown | Status::Expired => "warn",
        Status::Undelivered | Status::Failed => "bad",
    }
}

pub const fn outcome_tone(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "good",
        Outcome::Throttled | Outcome::Ambiguous => "warn",
        Outcome::RejectedRecipient | Outcome::RejectedContent | Outcome::RejectedAccount | Outcome::Unavailable => "bad",
    }
}

pub const fn outcome_title(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "Taken",
        Outcome::RejectedRecipient => "Recipient rejected",
        Outcome::RejectedContent => "Content rejected",
        Outcome::RejectedAccount => "Account rejected",
        Outcome::Throttled => "Throttled",
        Outcome::Unavailable => "Unavailable",
        Outcome::Ambiguous => "No clear answer",
    }
}

/// What an attempt's outcome means for an operator.
pub const fn outcome_means(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "The provider took the message.",
        Outcome::RejectedRecipient => "The provider says that nobody can reach this recipient.",
        Outcome::RejectedContent => "The provider refuses this text or sender; another provider may take it.",
        Outcome::RejectedAccount => "Our account at the provider does not work: credentials, balance or permission.",
        Outcome::Throttled => "The provider asked us to slow down. This costs no attempt.",
        Outcome::Unavailable => "The provider was not reachable or failed before it processed the message.",
        Outcome::Ambiguous => "No clear answer after the request was written: the provider may or may not have sent it.",
    }
}

/// What our own codes mean; a vendor's code speaks for itself in the vendor's documents.
pub fn code_means(code: &str) -> Option<&'static str> {
    Some(match code {
        "timeout" => "no answer in time",
        "connect" => "no connection",
        "reset" => "the connection was cut",
        "malformed" => "an answer nobody can read",
        "interrupted" => "our own process ended during the call",
        _ => return None,
    })
}

pub const fn state_tone(state: &ProviderState) -> &'static str {
    match state {
        ProviderState::Healthy => "good",
        ProviderState::Ejected => "bad",
        ProviderState::Probing | ProviderState::Ramping => "warn",
        ProviderState::Paused => "idle",
        ProviderState::Pinned => "busy",
    }
}

pub const fn state_means(state: &ProviderState) -> &'static str {
    match state {
        ProviderState::Healthy => "takes its full share",
        ProviderState::Ejected => "gets nothing until it may be tried again",
        ProviderState::Probing => "gets single messages to see whether it is back",
        ProviderState::Ramping => "is back and gets more step by step",
        ProviderState::Paused => "paused by a person until somebody resumes it",
        ProviderState::Pinned => "gets everything it can take, by order of a person",
    }
}

pub const fn signal_means(signal: &SignalName) -> &'static str {
    match signal {
        SignalName::ConsecutiveTimeouts => "Timeouts in a row",
        SignalName::MeanLatency => "Mean latency",
        SignalName::TailShare => "Calls slower than a second",
        SignalName::ErrorRate => "Failed calls",
        SignalName::Receipts => "Receipts missing or bad",
    }
}

/// A signal's number with its unit.
pub fn signal_value(signal: &SignalName, value: &f64) -> String {
    match signal {
        SignalName::ConsecutiveTimeouts => format!("{value:.0}"),
        SignalName::MeanLatency => format!("{value:.0} ms"),
        SignalName::TailShare | SignalName::ErrorRate | SignalName::Receipts => share(value),
    }
}

pub const fn kind_title(kind: &RequestKind) -> &'static str {
    match kind {
        RequestKind::App => "New app",
        RequestKind::AppChange => "Change of an app",
        RequestKind::TemplateVersion => "Template",
        RequestKind::Signature => "Signature",
        RequestKind::RoutingRevision => "Routing revision",
    }
}

/// The tone of an approval's state, also of versions and revisions.
pub fn approval_tone(status: &str) -> &'static str {
    match status {
        "approved" | "active" => "good",
        "pending" => "busy",
        "rejected" => "bad",
        _ => "idle",
    }
}

pub const fn lane_means(lane: &Lane) -> &'static str {
    match lane {
        Lane::Urgent => "codes",
        Lane::Normal => "transactional",
        Lane::Bulk => "marketing",
    }
}

/// `1,234,567`.
pub fn count(number: &u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share as per cent: `0 %`, `0.4 %`, `12 %`.
pub fn share(of: &f64) -> String {
    let percent = of * 100.0;
    if percent > 0.0 && percent < 0.1 {
        "<0.1 %".to_owned()
    } else if percent < 10.0 && percent > 0.0 && percent.fract() > 0.05 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// Events per second: `0`, `0.4`, `37`, `1,250`.
pub fn rate(per_s: &f64) -> String {
    match *per_s {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 0.1 => "<0.1".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, shown whole")]
        rate => count(&(rate.round() as u64)),
    }
}

/// How much of a meter of a hundred units is filled.
pub fn filled(value: &f64, most: &f64) -> String {
    let part = if *most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", part * 100.0)
}

pub fn float(number: &u32) -> f64 {
    f64::from(*number)
}

pub fn percent(number: &u8) -> f64 {
    f64::from(*number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!((count(&0), count(&999), count(&1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!(
            (share(&0.0), share(&0.0004), share(&0.004), share(&0.12), share(&1.0)),
            ("0 %".into(), "<0.1 %".into(), "0.4 %".into(), "12 %".into(), "100 %".into())
        );
        assert_eq!((rate(&0.0), rate(&0.42), rate(&1_250.4)), ("0".into(), "0.4".into(), "1,250".into()));
    }
}
