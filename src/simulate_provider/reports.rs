//! Receipts from the simulated vendor: in order or not, twice, early, forged, and repeated until they are taken.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{StatusCode, Url};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{Receipts, Vendor};

/// Receipts under way at a time: a vendor has a few connections for one customer.
const CONNECTIONS: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// About two minutes of retries; then this vendor gives up, as real ones do.
const TRIES: u32 = 64;

pub struct Reporter {
    client: reqwest::Client,
    connections: Semaphore,
    /// How receipts were answered, by status (0: not at all).
    answers: Mutex<BTreeMap<u16, u64>>,
}

/// What will be said about one message.
pub struct Plan {
    to: Url,
    delay: Duration,
    pub before_answer: bool,
    forged: Option<Report>,
    /// In the order in which they are sent.
    reports: Vec<Report>,
}

#[derive(Clone, Serialize)]
struct Report {
    message_id: String,
    reference: String,
    status: &'static str,
    error_code: Option<&'static str>,
}

impl Vendor {
    pub(super) fn plan(&self, receipts: &Receipts, vendor_id: &str, reference: &str) -> Plan {
        let delivered = self.happens(receipts.delivered_share);
        let report = |status: &'static str| Report {
            message_id: vendor_id.to_owned(),
            reference: reference.to_owned(),
            status,
            error_code: (status == "undelivered").then_some("absent_subscriber"),
        };
        let (last, opposite) = if delivered { ("delivered", "undelivered") } else { ("undelivered", "delivered") };
        let mut words = if receipts.intermediate { vec!["submitted", last] } else { vec![last] };
        if receipts.out_of_order {
            words.reverse();
        }
        let times = receipts.times as usize;
        Plan {
            // The address was checked when the behaviour was switched.
            to: Url::parse(&receipts.to).unwrap_or_else(|_| Url::parse("http://127.0.0.1:1/").expect("a constant address")),
            delay: Duration::from_millis(receipts.delay_ms),
            before_answer: receipts.before_answer,
            forged: self.happens(receipts.forged_share).then(|| report(opposite)),
            reports: words.into_iter().flat_map(|word| std::iter::repeat_n(report(word), times)).collect(),
        }
    }
}

impl Reporter {
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, connections: Semaphore::new(CONNECTIONS), answers: Mutex::default() })
    }

    pub fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub async fn report(&self, plan: Plan) {
        if !plan.before_answer && !plan.delay.is_zero() {
            tokio::time::sleep(plan.delay).await;
        }
        if let Some(forged) = &plan.forged {
            let mut to = plan.to.clone();
            to.set_query(Some("token=forged"));
            self.send(&to, forged).await;
        }
        for report in &plan.reports {
            self.send_until_taken(&plan.to, report).await;
        }
    }

    async fn send_until_taken(&self, to: &Url, report: &Report) {
        let mut wait = FIRST_RETRY;
        for _ in 0..TRIES {
            if self.send(to, report).await.is_some_and(|status| status.is_success()) {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn send(&self, to: &Url, report: &Report) -> Option<StatusCode> {
        let _connection = self.connections.acquire().await.ok()?;
        let answer = self.client.post(to.clone()).json(report).send().await.ok().map(|answer| answer.status());
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(answer.map_or(0, |status| status.as_u16())).or_insert(0) += 1;
        answer
    }
}
