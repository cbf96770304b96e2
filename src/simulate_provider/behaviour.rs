//! What a simulated vendor can be told to do. Every field has a harmless default; a change names only what it changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Everything that can be switched. Shares are asked in the order refuse, hang, throttle, error; then the call is processed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Median of the time to answer.
    pub latency_ms: u64,
    /// Its 99th percentile; below the median: every call takes the same time.
    pub latency_p99_ms: u64,
    /// Share of calls that take `tail_ms` instead.
    pub tail_share: f64,
    pub tail_ms: u64,
    /// Share of calls that are answered with `error_status`, not processed.
    pub error_share: f64,
    pub error_status: u16,
    /// Stands in the error's body as `{"code": …}`.
    pub error_code: Option<String>,
    /// Calls above this in a second are answered 429; 0: none.
    pub throttle_per_s: usize,
    pub retry_after_s: u64,
    /// Share of calls that are never answered, and the share of those that are processed all the same.
    pub hang_share: f64,
    pub hang_processed_share: f64,
    /// Share of calls that are processed and then cut by a reset.
    pub reset_share: f64,
    /// Share that is processed and answered with something that is not the JSON it should be.
    pub malformed_share: f64,
    /// Share that is processed and whose answer ends in the middle.
    pub cut_share: f64,
    /// Share that is accepted and never delivered: no receipt ever comes.
    pub drop_share: f64,
    /// The listener is closed: connections are refused.
    pub refuse: bool,
    /// Report what becomes of messages; absent: silence.
    pub receipts: Option<Receipts>,
}

/// How receipts are sent: `POST` of `{"message_id", "reference", "status", "error_code"}` until it is answered 2xx.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receipts {
    /// The whole address, `?token=` included.
    pub to: String,
    pub delay_ms: u64,
    /// Share `delivered`; the others are `undelivered`.
    pub delivered_share: f64,
    /// A `submitted` receipt comes first.
    pub intermediate: bool,
    /// With `intermediate`: it comes last instead.
    pub out_of_order: bool,
    /// Each receipt is sent this many times.
    pub times: u32,
    /// The receipt is sent, and answered, before the submission is.
    pub before_answer: bool,
    /// Share of messages for which a forged receipt (a wrong token, the opposite status) is sent first.
    pub forged_share: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            latency_p99_ms: 0,
            tail_share: 0.0,
            tail_ms: 1_500,
            error_share: 0.0,
            error_status: 500,
            error_code: None,
            throttle_per_s: 0,
            retry_after_s: 1,
            hang_share: 0.0,
            hang_processed_share: 0.5,
            reset_share: 0.0,
            malformed_share: 0.0,
            cut_share: 0.0,
            drop_share: 0.0,
            refuse: false,
            receipts: None,
        }
    }
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            to: String::new(),
            delay_ms: 100,
            delivered_share: 1.0,
            intermediate: false,
            out_of_order: false,
            times: 1,
            before_answer: false,
            forged_share: 0.0,
        }
    }
}

/// A change that cannot be made; the behaviour stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("not a behaviour: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("{0} must be a share from 0 to 1")]
    Share(&'static str),
    #[error("error_status must be a status from 200 to 599")]
    Status,
    #[error("receipts.to must be an address that begins with http://")]
    Address,
}

impl Behaviour {
    /// This behaviour with the fields of `change` in place of its own; `null` sets a field back to its default.
    pub fn changed(&self, change: &serde_json::Value) -> Result<Self, Refused> {
        let mut merged = serde_json::to_value(self)?;
        merge(&mut merged, change);
        let changed: Self = serde_json::from_value(merged)?;
        changed.check()?;
        Ok(changed)
    }

    fn check(&self) -> Result<(), Refused> {
        let receipts = self.receipts.clone().unwrap_or_default();
        let shares = [
            ("tail_share", self.tail_share),
            ("error_share", self.error_share),
            ("hang_share", self.hang_share),
            ("hang_processed_share", self.hang_processed_share),
            ("reset_share", self.reset_share),
            ("malformed_share", self.malformed_share),
            ("cut_share", self.cut_share),
            ("drop_share", self.drop_share),
            ("receipts.delivered_share", receipts.delivered_share),
            ("receipts.forged_share", receipts.forged_share),
        ];
        if let Some((name, _)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(Refused::Share(name));
        }
        if !(200..600).contains(&self.error_status) {
            return Err(Refused::Status);
        }
        if self.receipts.as_ref().is_some_and(|receipts| reqwest::Url::parse(&receipts.to).is_err()) {
            return Err(Refused::Address);
        }
        Ok(())
    }

    pub const fn retry_after(&self) -> Duration {
        Duration::from_secs(self.retry_after_s)
    }
}

/// RFC 7396, JSON Merge Patch; a removed field falls back to its default.
fn merge(target: &mut serde_json::Value, change: &serde_json::Value) {
    let serde_json::Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in change {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(serde_json::Value::Null), value);
        }
    }
}
