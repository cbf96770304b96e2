//! Requests by route, method and status.
//!
//! The route is the pattern that matched (`/v1/messages/{id}`), never the path, and an unmatched request is `unmatched`:
//! a scanner must not be able to make series. Methods that we do not serve are `other`.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::handles::{CALL_SECONDS, Names};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const UNMATCHED: &str = "unmatched";

pub struct Http {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl Http {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            requests: names.counters("tidings_http_requests_total", "Requests answered.", &["route", "method", "status"]),
            duration: names.histograms(
                "tidings_http_request_duration_seconds",
                "Time from the request's head to the answer's head.",
                "route",
                CALL_SECONDS,
            ),
        }
    }

    /// A request was answered. `route` is the pattern that matched, `None` if none did.
    pub fn answered(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        let route = route.unwrap_or(UNMATCHED);
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let digits = [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
        let status = std::str::from_utf8(&digits).unwrap_or("000");
        self.requests.with_label_values(&[route, method, status]).inc();
        self.duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use std::time::Duration;

    #[test]
    fn paths_and_methods_that_nobody_serves_make_no_series_of_their_own() {
        let metrics = Metrics::new();
        metrics.http.answered(None, "BREW", 404, Duration::from_millis(1));
        metrics.http.answered(Some("/v1/messages/{id}"), "GET", 200, Duration::from_millis(1));
        let text = metrics.render();
        assert!(text.contains("tidings_http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\"} 1"));
        assert!(text.contains("tidings_http_requests_total{method=\"GET\",route=\"/v1/messages/{id}\",status=\"200\"} 1"));
    }
}
