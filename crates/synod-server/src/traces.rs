//! Transactions as traces of OpenTelemetry.
//!
//! A trace is one transaction. Its id is a digest of the cluster and of the transaction's name, so that all nodes put their
//! spans into the same trace without a word between them, and all keep the same ones if only a share is kept. The spans come
//! from what the nodes say by `tracing` anyway: nothing of this is known to them.

mod layer;
mod name;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor},
};
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use self::layer::Spans;
use crate::{
    config::TracesConfig,
    failure::{Exit, Failure},
};

/// How long spans are gathered before they are sent, and how long that may take.
const PACE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of a process waits for the last of them.
const LAST: Duration = Duration::from_millis(300);

/// Sends spans for as long as the process runs.
#[derive(Clone)]
pub(crate) struct Traces {
    processor: Arc<BatchSpanProcessor>,
    ratio: f64,
}

impl Traces {
    /// Within a tokio runtime. Nobody needs to listen yet. Nothing, if no traces are wanted.
    pub(crate) fn new(config: &TracesConfig) -> Result<Option<Self>, Failure> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let no_use = |error: &ExporterBuildError| {
            let what = format!("traces cannot be sent to {endpoint}");
            Failure::new(Exit::Configuration, what, "name a collector that takes OTLP over gRPC in traces.endpoint")
                .caused_by(error)
        };
        let otlp = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        let otlp = otlp.with_endpoint(endpoint).with_timeout(PATIENCE).build().map_err(|error| no_use(&error))?;
        let exporter = Told { otlp, endpoint: endpoint.clone(), is_failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default().with_scheduled_delay(PACE).build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        processor.set_resource(&Resource::builder_empty().with_service_name("synod").build());
        Ok(Some(Self { processor: Arc::new(processor), ratio: config.ratio }))
    }

    /// What makes spans of what the nodes say.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let spans = Spans::new(Arc::clone(&self.processor), self.ratio);
        spans.with_filter(Targets::new().with_target("synod::perform::tokio", Level::DEBUG))
    }

    /// Sends what has gathered.
    pub(crate) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.processor.shutdown_with_timeout(LAST)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Says when spans cannot be sent, and when they can again.
#[derive(Debug)]
struct Told {
    otlp: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    is_failing: AtomicBool,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.otlp.export(batch).await;
        let was_failing = self.is_failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_failing => {
                let endpoint = &self.endpoint;
                tracing::warn!(endpoint, spans, %error, "traces are lost: see that a collector listens there");
            }
            Ok(()) if was_failing => tracing::warn!(endpoint = self.endpoint, "traces are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> Result<(), OTelSdkError> {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.otlp.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
