//! Traces, if a collector is named: the exporter's task, and receipts that are hung under their message's spans.

use std::sync::Arc;

use tidings_providers::ReceiptStatus;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    receipts::{Confirmed, Observer},
    store::Messages,
    telemetry::{
        Metrics, Traces,
        traces::{Exporter, ReceiptSeen, Settings, StartError},
    },
};

/// Look-ups of messages for the spans of their receipts; beyond it a span is dropped, never a receipt delayed.
const LOOK_UPS: usize = 64;

/// Starts the exporter where the configuration names a collector.
pub fn start(settings: &Settings, metrics: &Metrics, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), StartError> {
    let Some(endpoint) = &settings.endpoint else { return Ok(()) };
    let (exporter, sending) = Exporter::start(endpoint, metrics.spans_dropped.clone(), stop.clone())?;
    tasks.spawn(sending);
    metrics.trace_with(Traces::new(exporter, settings.sample_share));
    Ok(())
}

/// Hangs receipts under their message's spans.
pub struct ReceiptSpans {
    messages: Arc<dyn Messages>,
    metrics: Arc<Metrics>,
    look_ups: Arc<Semaphore>,
}

impl ReceiptSpans {
    pub fn new(messages: Arc<dyn Messages>, metrics: Arc<Metrics>) -> Self {
        Self { messages, metrics, look_ups: Arc::new(Semaphore::new(LOOK_UPS)) }
    }
}

impl Observer for ReceiptSpans {
    fn confirmed(&self, confirmed: &Confirmed) {
        if self.metrics.traces().is_none() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.look_ups).try_acquire_owned() else {
            self.metrics.spans_dropped.inc();
            return;
        };
        let (messages, metrics, confirmed) = (Arc::clone(&self.messages), Arc::clone(&self.metrics), confirmed.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let Ok(Some(record)) = messages.get(confirmed.id).await else { return };
            let Some(traces) = metrics.traces() else { return };
            let status = ReceiptStatus::message_status(confirmed.says);
            let number = u32::try_from(record.receipts.len()).unwrap_or(u32::MAX);
            let seen = ReceiptSeen { provider: &confirmed.provider, status, at: confirmed.at, number };
            traces.confirmed(&record.message, &record.attempts, &seen);
        });
    }
}
