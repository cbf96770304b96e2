//! Three providers: one ill, one that carries the load, one for emails.

use std::time::Duration;

use tidings_core::{
    attempt::Outcome,
    message::{Channel, Lane},
    redact::Secret,
};

use super::{before, wave};
use crate::views::{
    Dependency, FailureGroup, LaneState, Minute, Overview, ProviderDetail, ProviderEvent, ProviderRow, ProviderSample, ProviderState,
    SignalName, SignalView,
};

const HOUR: usize = 60;

pub fn provider_rows() -> Vec<ProviderRow> {
    let row = |name: &str, kind: &str, channel, state, score, share| ProviderRow {
        name: name.to_owned(),
        kind: kind.to_owned(),
        channel,
        state,
        score,
        weight: 100,
        share,
        calls: 10_842,
        error_share: 0.0031,
        p50: Some(Duration::from_millis(112)),
        p99: Some(Duration::from_millis(640)),
        in_flight: 17,
        max_in_flight: 256,
        rate_per_s: 142.4,
        limit_per_s: 200.0,
    };
    vec![
        ProviderRow {
            calls: 214,
            error_share: 0.86,
            p50: Some(Duration::from_millis(2_400)),
            p99: Some(Duration::from_millis(3_000)),
            in_flight: 1,
            rate_per_s: 0.2,
            limit_per_s: 100.0,
            ..row("aliyun-main", "aliyun", Channel::Sms, ProviderState::Ejected, 4.0, 0.0)
        },
        row("tencent-main", "tencent", Channel::Sms, ProviderState::Healthy, 97.0, 1.0),
        ProviderRow {
            calls: 0,
            error_share: 0.0,
            p50: None,
            p99: None,
            in_flight: 0,
            rate_per_s: 0.0,
            limit_per_s: 0.0,
            ..row("mail", "smtp", Channel::Email, ProviderState::Healthy, 100.0, 1.0)
        },
    ]
}

fn events() -> Vec<ProviderEvent> {
    let event = |seconds, kind: &str, actor: &str, text: &str| ProviderEvent {
        at: before(seconds),
        provider: "aliyun-main".to_owned(),
        kind: kind.to_owned(),
        actor: actor.to_owned(),
        text: text.to_owned(),
    };
    vec![
        event(42, "ejected", "health", "11 calls pending longer than its own p99.9 (hang evidence 18.4, threshold 18); next probe in 14 s"),
        event(310, "ramping", "health", "5 probes in a row were answered; back at 15 %"),
        event(1_260, "ejected", "health", "error rate 38 % over 91 calls, own normal 0.4 %, threshold 5 %"),
        event(86_000, "weight changed", "mei", "from 80 to 100: contract raised, ticket 3391"),
    ]
}

fn signals(ill: bool) -> Vec<SignalView> {
    let signal = |name, value, baseline, threshold, samples| SignalView { name, value, baseline: Some(baseline), threshold, samples };
    vec![
        SignalView { baseline: None, ..signal(SignalName::ConsecutiveTimeouts, if ill { 7.0 } else { 0.0 }, 0.0, 3.0, 214) },
        signal(SignalName::MeanLatency, if ill { 2_410.0 } else { 118.0 }, 115.0, 138.0, 214),
        signal(SignalName::TailShare, if ill { 0.62 } else { 0.002 }, 0.004, 0.10, 214),
        signal(SignalName::ErrorRate, if ill { 0.38 } else { 0.003 }, 0.004, 0.05, 214),
        signal(SignalName::Receipts, 0.02, 0.02, 0.10, 1_840),
    ]
}

/// The one that is ill.
pub fn provider_detail() -> ProviderDetail {
    let history = (0..HOUR).map(|at| {
        let ill = at > 38;
        ProviderSample {
            at: before(((HOUR - at) * 60) as u64),
            calls: if ill { wave(at, 40.0, 30.0) as u64 } else { wave(at, 3_000.0, 420.0) as u64 },
            errors: if ill { wave(at, 30.0, 20.0) as u64 } else { 9 },
            p50_ms: (at != 44).then(|| if ill { wave(at, 1_900.0, 500.0) } else { wave(at, 115.0, 12.0) }),
            p99_ms: (at != 44).then(|| if ill { wave(at, 2_900.0, 90.0) } else { wave(at, 620.0, 80.0) }),
        }
    });
    ProviderDetail {
        row: provider_rows().remove(0),
        since: Some(before(42)),
        why: Some("11 calls pending longer than its own p99.9.".to_owned()),
        price: "0.0450 CNY a segment".to_owned(),
        revision: 12,
        signals: signals(true),
        history: history.collect(),
        events: events(),
        receipt_address: Some(Secret::new("https://tidings.example/v1/receipts/aliyun-main?token=sample".to_owned())),
    }
}

/// One of which there is nothing to say.
pub fn provider_healthy() -> ProviderDetail {
    ProviderDetail {
        row: provider_rows().remove(2),
        since: None,
        why: None,
        history: Vec::new(),
        events: Vec::new(),
        receipt_address: None,
        signals: signals(false),
        ..provider_detail()
    }
}

pub fn overview() -> Overview {
    let minutes = (0..HOUR).map(|at| Minute {
        at: before(((HOUR - at) * 60) as u64),
        accepted: wave(at, 8_400.0, 900.0) as u64,
        submitted: if at == 39 { 5_200 } else { wave(at, 8_380.0, 900.0) as u64 },
        failed: if (39..44).contains(&at) { 240 } else { 12 },
    });
    let lane = |lane, waiting, millis| LaneState { lane, waiting, oldest: Duration::from_millis(millis) };
    Overview {
        at: super::NOW,
        minutes: minutes.collect(),
        accepted_per_s: 142.7,
        submitted_per_s: 142.4,
        lanes: vec![lane(Lane::Urgent, 3, 40), lane(Lane::Normal, 128, 2_300), lane(Lane::Bulk, 41_220, 1_260_000)],
        dependencies: vec![
            Dependency { name: "database".to_owned(), up: true, degrades: String::new() },
            Dependency { name: "redis".to_owned(), up: false, degrades: "limits fall back to each node's share".to_owned() },
            Dependency { name: "kafka".to_owned(), up: true, degrades: String::new() },
        ],
        providers: provider_rows(),
        events: events(),
        failures: vec![
            FailureGroup { provider: "aliyun-main".to_owned(), outcome: Outcome::Ambiguous, count: 1_204 },
            FailureGroup { provider: "aliyun-main".to_owned(), outcome: Outcome::Unavailable, count: 311 },
            FailureGroup { provider: "tencent-main".to_owned(), outcome: Outcome::RejectedRecipient, count: 26 },
        ],
        pending_requests: 3,
    }
}
