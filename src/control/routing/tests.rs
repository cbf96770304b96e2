use serde_json::json;

use super::*;

/// The faults of a routing document with one provider that has these thresholds, and what was read of them.
fn thresholds(given: &Value) -> (Vec<(String, &'static str)>, BTreeMap<String, Value>) {
    let document = json!({"providers": [{"name": "a", "kind": "simulated", "channel": "sms", "thresholds": given}], "routes": []});
    let mut faults = Vec::new();
    let read = read("", document.as_object().unwrap(), None, &mut faults);
    let found = faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect();
    (found, read.providers.into_iter().next().map(|provider| provider.thresholds).unwrap_or_default())
}

#[test]
fn a_providers_own_thresholds_are_kept_as_they_are_given() {
    let given = json!({"consecutive_timeouts": 5, "mean_rise": 0.5, "tail_share": 1, "error_rate": null});
    let (faults, read) = thresholds(&given);
    assert_eq!(faults, []);
    assert_eq!(json!(read), json!({"consecutive_timeouts": 5, "mean_rise": 0.5, "tail_share": 1}), "null is as if it were left out");
}

#[test]
fn thresholds_that_mean_nothing_are_refused_all_at_once() {
    let given = json!({"consecutive_timeouts": 0, "mean_rise": 0, "tail_share": 1.5, "error_rate": "low", "recipts_missing": 0.1});
    let (mut faults, _) = thresholds(&given);
    faults.sort();
    let at = |name: &str| format!("/providers/0/thresholds/{name}");
    let expected = [
        (at("consecutive_timeouts"), "range"),
        (at("error_rate"), "type"),
        (at("mean_rise"), "range"),
        (at("recipts_missing"), "unknown"),
        (at("tail_share"), "range"),
    ];
    assert_eq!(faults, expected);
}
