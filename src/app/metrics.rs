//! Where all that the parts count is kept while the service runs.

use super::failed;
use crate::domain::Result;
use crate::http::Figures;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::interval;

/// Bounds of what is counted by how long it took, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0,
];
/// How often what was measured is put into its counts: it takes memory until then.
const TIDY: Duration = Duration::from_secs(5);

/// The figures of this process.
pub(super) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to count: once in a process.
    pub(super) fn start() -> Result<Self> {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS);
        let recorder = builder.map_err(failed)?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(failed)?;
        describe();
        metrics::gauge!("wsexec_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self(handle))
    }

    /// What `/metrics` shows.
    pub(super) fn figures(&self) -> Figures {
        let handle = self.0.clone();
        let runtime = Handle::current();
        Arc::new(move || {
            let spawned = runtime.metrics().num_alive_tasks();
            metrics::gauge!("wsexec_spawned").set(spawned as f64);
            handle.render()
        })
    }

    /// Keeps what is measured small, for as long as it is polled.
    pub(super) async fn tidy(self) {
        let mut ticks = interval(TIDY);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn describe() {
    describe_gauge!("wsexec_info", "The version of the program");
    describe_gauge!(
        "wsexec_spawned",
        "Pieces of work that the server has spawned: connections, runs, watchers"
    );
    describe_gauge!(
        "wsexec_tasks",
        "Tasks that wait (INIT) and run (CURRENT) now"
    );
    describe_counter!(
        "wsexec_tasks_ended_total",
        "Tasks that have ended after they were claimed, by state and outcome"
    );
    describe_histogram!(
        "wsexec_task_waiting_seconds",
        Unit::Seconds,
        "From the post of a task until it was claimed"
    );
    describe_histogram!("wsexec_task_seconds", Unit::Seconds, "How long tasks ran");
    describe_counter!(
        "wsexec_output_bytes_total",
        Unit::Bytes,
        "What scripts have written, by stream"
    );
    describe_histogram!(
        "wsexec_ssh_connect_seconds",
        Unit::Seconds,
        "How long connections to machines took, with the login"
    );
    describe_counter!(
        "wsexec_ssh_connects_total",
        "Connections to machines that were tried, by outcome"
    );
    describe_gauge!(
        "wsexec_ssh_idle_connections",
        "Connections to machines that wait for their next use"
    );
    describe_histogram!(
        "wsexec_store_commit_seconds",
        Unit::Seconds,
        "How long commits of the store took, each for all writes that waited"
    );
    describe_counter!(
        "wsexec_acts_total",
        "Records of the audit trail, by action: logins, posts, refusals and all else"
    );
    describe_histogram!(
        "wsexec_http_request_seconds",
        Unit::Seconds,
        "How long answers took to begin, by route"
    );
    describe_counter!(
        "wsexec_http_requests_total",
        "Requests, by method, route and status"
    );
}
