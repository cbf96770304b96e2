//! Receipts that are due later: one task and one heap per provider, however many are under way.
//!
//! Receipts are handed over in groups, kept until the sink says that they are durable, and tried again otherwise, as a
//! vendor would. Beyond [`MAX_WAITING`] a receipt is lost, as at a vendor. The task ends once the provider is gone and
//! everything due has been reported.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::clock;
use crate::{Receipt, ReceiptSink};

/// About 200 MB of receipts; at 20,000 a second, 50 s of them.
const MAX_WAITING: usize = 1_000_000;
/// Enough to fill a transaction, little enough to answer quickly.
const GROUP: usize = 256;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

pub struct Outbox {
    provider: Arc<str>,
    sink: Arc<dyn ReceiptSink>,
    /// Started by the first receipt: a provider is also built where no runtime is, to check its settings.
    sender: OnceLock<mpsc::Sender<Due>>,
}

struct Due {
    at: Instant,
    receipt: Receipt,
}

impl Outbox {
    pub fn new(provider: &str, sink: Arc<dyn ReceiptSink>) -> Self {
        Self { provider: provider.into(), sink, sender: OnceLock::new() }
    }

    pub fn push(&self, at: Instant, receipt: Receipt) {
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(GROUP * GROUP);
            tokio::spawn(report(Arc::clone(&self.provider), Arc::clone(&self.sink), receiver));
            sender
        });
        if sender.try_send(Due { at, receipt }).is_err() {
            tracing::warn!(provider = %self.provider, "a simulated receipt is lost: too many are waiting");
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("provider", &self.provider).finish_non_exhaustive()
    }
}

async fn report(provider: Arc<str>, sink: Arc<dyn ReceiptSink>, mut receiver: mpsc::Receiver<Due>) {
    let mut waiting: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut arrived = Vec::with_capacity(GROUP);
    let mut open = true;
    while open || !waiting.is_empty() {
        let next = waiting.peek().map(|due| due.0.at);
        let alarm = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = alarm => {}
            count = receiver.recv_many(&mut arrived, GROUP), if open && waiting.len() < MAX_WAITING => {
                open = count > 0;
                waiting.extend(arrived.drain(..).map(Reverse));
            }
        }
        let now = clock();
        let mut group = Vec::new();
        while group.len() < GROUP && waiting.peek().is_some_and(|due| due.0.at <= now) {
            group.extend(waiting.pop().map(|due| due.0.receipt));
        }
        if !group.is_empty() {
            confirm(&provider, &*sink, group).await;
        }
    }
}

async fn confirm(provider: &str, sink: &dyn ReceiptSink, group: Vec<Receipt>) {
    let mut wait = FIRST_RETRY;
    while sink.confirm(provider, group.clone()).await.is_err() {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_RETRY);
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
