//! The way to the collector: a bounded queue, a thread of its own, and rare words about its troubles.

use super::{ON, TARGET};
use crate::config;
use crate::domain::{Error, Result};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData,
    SpanExporter as Export,
};
use reqwest::Certificate;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait for the collector; past that, new ones are dropped.
const QUEUE: usize = 2048;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// For a connection, and for a batch with its answer, another try included.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);
/// How long the last spans may take when the program ends.
const LAST: Duration = Duration::from_secs(2);
/// How often trouble that goes on is told.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// What takes spans and sends them to the collector.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// None where no collector is configured. Nothing is asked of the collector yet. Not to be
    /// called on a runtime: the client has one of its own.
    ///
    /// # Errors
    /// `Conflict` where the configuration or a variable of OpenTelemetry cannot be used.
    pub fn open(config: &config::Traces) -> Result<Option<Self>> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let refuse = |why: &dyn Display| Error::conflict(format!("traces: {why}."));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client(endpoint, config.ca_file.as_deref())?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(ANSWER)
            .build()
            .map_err(|error| refuse(&error))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .build();
        let processor = BatchSpanProcessor::builder(Told::new(exporter))
            .with_batch_config(batches)
            .build();
        let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource.build());
        ON.store(true, Ordering::Relaxed);
        Ok(Some(Self(provider.build())))
    }

    /// The collector of a configuration, once all that is needed to reach it was read; it is not
    /// asked: it may be down for a while.
    ///
    /// # Errors
    /// As [`Traces::open`].
    pub fn check(config: &config::Traces) -> Result<Option<&str>> {
        let endpoint = config.endpoint.as_deref();
        if let Some(endpoint) = endpoint {
            client(endpoint, config.ca_file.as_deref())?;
        }
        Ok(endpoint)
    }

    /// What spans under [`TARGET`] go to, and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("wsexec"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what waits, for a bounded while.
    pub fn stop(&self) {
        if self.0.shutdown_with_timeout(LAST).is_err() {
            tracing::warn!("the last traces did not reach their collector in time");
        }
    }
}

fn client(endpoint: &str, ca: Option<&Path>) -> Result<Client> {
    let authorities = match ca {
        Some(path) => authorities(path)?,
        None => Vec::new(),
    };
    let client = Client::builder()
        .redirect(Policy::none())
        .https_only(endpoint.starts_with("https:"))
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .tls_certs_merge(authorities)
        .build();
    client.map_err(|error| Error::conflict(format!("No requests to traces.endpoint: {error}.")))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>> {
    let refuse =
        |why: &dyn Display| Error::conflict(format!("traces.ca_file {}: {why}.", path.display()));
    let pem = std::fs::read(path).map_err(|error| refuse(&error))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(&error))?;
    match found.is_empty() {
        true => Err(refuse(&"there is no certificate in it")),
        false => Ok(found),
    }
}

/// Sends by another exporter, and tells now and then how that goes.
#[derive(Debug)]
struct Told<E> {
    by: E,
    trouble: Mutex<Option<Trouble>>,
}

/// What was not sent since it was last told.
#[derive(Debug)]
struct Trouble {
    told: Instant,
    lost: usize,
}

impl<E> Told<E> {
    fn new(by: E) -> Self {
        Self {
            by,
            trouble: Mutex::default(),
        }
    }

    fn tell(&self, spans: usize, sent: &OTelSdkResult) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (sent, &mut *trouble) {
            (Ok(()), None) => {}
            (Ok(()), Some(Trouble { lost, .. })) => {
                tracing::info!(lost, "the collector takes traces again");
                *trouble = None;
            }
            (Err(error), None) => {
                tracing::warn!(lost = spans, %error, "traces do not reach their collector");
                let told = Instant::now();
                *trouble = Some(Trouble { told, lost: 0 });
            }
            (Err(error), Some(Trouble { told, lost })) => {
                *lost += spans;
                if told.elapsed() >= AGAIN {
                    tracing::warn!(lost, %error, "traces do not reach their collector");
                    (*told, *lost) = (Instant::now(), 0);
                }
            }
        }
    }
}

impl<E: Export> Export for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.by.export(batch).await;
        self.tell(spans, &sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.by.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.by.set_resource(resource);
    }
}
