//! Which requests have posted the tasks that have not ended. What is forgotten here (by a restart, or
//! because too much waits) costs a trace its connection and nothing else.

use crate::domain::TaskId;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The most that are known at once; the tasks that were posted last are kept.
const MOST: usize = 10_000;

static KNOWN: Mutex<BTreeMap<i64, SpanContext>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<i64, SpanContext>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The span of the request that a task is posted by.
pub struct Origin(SpanContext);

impl Origin {
    /// That of the request that this runs for; none where there are no traces.
    pub fn current() -> Option<Self> {
        if !super::are_on() {
            return None;
        }
        let span = Span::current().context().span().span_context().clone();
        span.is_valid().then_some(Self(span))
    }

    /// It has posted this task: to be said before anybody can claim it.
    pub fn posts(self, task: TaskId) {
        let mut known = known();
        known.insert(task.0, self.0);
        if known.len() > MOST {
            known.pop_first();
        }
    }
}

/// What the span of a task belongs to.
pub(super) fn of(task: TaskId) -> Option<Context> {
    let origin = known().get(&task.0).cloned();
    origin.map(|it| Context::new().with_remote_span_context(it))
}

/// The task has ended.
pub fn forget(task: TaskId) {
    if super::are_on() {
        known().remove(&task.0);
    }
}
