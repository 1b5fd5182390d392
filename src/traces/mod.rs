//! Traces for OpenTelemetry: of each request, and of each task from its claim to its end.
//!
//! Whatever tells of a step makes a span of `tracing` under [`TARGET`]; nothing but ids, routes,
//! states and times goes into one. Where no collector is configured nobody listens to that target,
//! and a span costs one look at a number.

mod export;
mod origins;

pub use export::Traces;
pub use origins::{Origin, forget};

use crate::domain::{Ending, Mode, Task};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// What all spans for traces are under, and nothing else.
pub const TARGET: &str = "trace";

/// A request, for its span.
pub struct Request<'a> {
    /// Its method, one of a few.
    pub method: &'static str,
    /// Its address without ids and names.
    pub route: &'a str,
    /// What the log knows it by.
    pub id: &'a str,
    /// Which span it belongs to, as its header `traceparent` says (W3C Trace Context).
    pub parent: Option<&'a str>,
}

/// Whether a collector is configured: once for the process, as the log is.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether anybody listens.
pub fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The span of a request. `tracestate` is not taken: it is text of whoever asks.
pub fn request(request: &Request<'_>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = format!("{} {}", request.method, request.route),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method,
        http.route = request.route,
        http.response.status_code = Empty,
        url.scheme = "https",
        wsexec.request.id = request.id,
    );
    if let Some(parent) = request.parent {
        let parent = TraceContextPropagator::new().extract(&Parent(parent));
        under(&span, parent);
    }
    span
}

/// A request was answered with this status.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a task that was claimed: part of the trace of the request that has posted it, where
/// that is known.
pub fn task(task: &Task) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "task",
        otel.status_code = Empty,
        wsexec.task.id = task.id.0,
        wsexec.task.attempt = i64::from(task.attempt),
        wsexec.task.mode = Mode::as_str(task.mode),
        wsexec.task.outcome = Empty,
        wsexec.task.rc = Empty,
        wsexec.instance.id = task.instance.0,
    );
    if !span.is_disabled()
        && let Some(origin) = origins::of(task.id)
    {
        under(&span, origin);
    }
    span
}

/// The task whose span this runs in has ended.
pub fn ended(ending: &Ending) {
    let span = Span::current();
    span.record("wsexec.task.outcome", ending.outcome().as_str());
    match ending.rc() {
        Some(rc) => span.record("wsexec.task.rc", rc),
        None => span.record("otel.status_code", "ERROR"),
    };
}

/// One step of what this runs in.
pub fn step(name: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "step", otel.name = name)
}

fn under(span: &Span, parent: Context) {
    // It fails where nobody listens, and then there is nothing to tell.
    let _ = span.set_parent(parent);
}

/// The one header that is read.
struct Parent<'a>(&'a str);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}
