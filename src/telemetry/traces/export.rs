//! Spans on their way to a collector: a bounded buffer, batches, and a collector that may be away.
//!
//! Handing over never waits: what does not fit is counted and dropped. The collector's absence is logged once when it begins
//! and once when it ends, not per batch.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Spans that wait for the next batch: some seconds of failures at full load.
const BUFFER: usize = 8_192;
/// Spans in one request.
const BATCH: usize = 512;
/// A batch that is not full leaves after this.
const LINGER: Duration = Duration::from_secs(1);
/// A collector that takes longer is away.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("traces.endpoint cannot be used")]
pub struct StartError(#[from] opentelemetry_otlp::ExporterBuildError);

/// Where spans are handed over.
#[derive(Clone)]
pub struct Exporter {
    buffer: mpsc::Sender<SpanData>,
    dropped: IntCounter,
}

impl Exporter {
    /// Where to hand spans over, and what sends them to the collector at `endpoint` until `stop`, then those that wait.
    pub fn start(
        endpoint: &str,
        dropped: IntCounter,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StartError> {
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let service = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder_empty().with_service_name("tidings").with_attribute(service).build());
        let (buffer, waiting) = mpsc::channel(BUFFER);
        let sending = run(exporter, waiting, dropped.clone(), stop);
        Ok((Self { buffer, dropped }, sending))
    }

    pub(super) fn hand_over(&self, span: SpanData) {
        if self.buffer.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

async fn run(
    exporter: opentelemetry_otlp::SpanExporter,
    mut waiting: mpsc::Receiver<SpanData>,
    dropped: IntCounter,
    stop: CancellationToken,
) {
    let mut away = false;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = stop.cancelled(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        let Some(first) = first else { return };
        batch.push(first);
        let fill = async { while batch.len() < BATCH && waiting.recv_many(&mut batch, BATCH).await > 0 {} };
        // Cancelled between two receives: nothing that was received is lost.
        let _ = tokio::time::timeout(LINGER, fill).await;
        let count = batch.len() as u64;
        match exporter.export(std::mem::take(&mut batch)).await {
            Ok(()) if away => {
                away = false;
                tracing::info!("the collector of traces is back");
            }
            Ok(()) => {}
            Err(error) => {
                dropped.inc_by(count);
                if !away {
                    away = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "the collector of traces does not take spans");
                }
            }
        }
    }
}
