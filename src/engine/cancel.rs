use crate::config;
use crate::domain::{Outcome, Task, TaskId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// The runs that can be told to end.
#[derive(Default)]
pub struct Cancels {
    running: Mutex<HashMap<TaskId, CancellationToken>>,
}

impl Cancels {
    /// A run begins.
    pub fn register(&self, task: TaskId) -> CancellationToken {
        let token = CancellationToken::new();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(task, token.clone());
        token
    }

    /// It has ended.
    pub fn forget(&self, task: TaskId) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }

    /// Tells it to end. A task whose run has not registered yet is told by the scheduler's next
    /// look at the store.
    pub fn cancel(&self, task: TaskId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = running.get(&task) {
            token.cancel();
        }
    }
}

/// Why a run is to end before its script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Cancelled,
    /// The task's own deadline passed.
    TimedOut,
    /// It wrote nothing for longer than it may.
    Silent,
    /// The server stops.
    Interrupted,
}

impl Cause {
    /// What becomes of a task that was ended for it, and the sentence that says so.
    pub fn describe(self, task: &Task, config: &config::Engine) -> (Outcome, String) {
        match self {
            Self::Cancelled => (Outcome::Cancelled, "Cancelled on request.".into()),
            Self::TimedOut => (
                Outcome::TimedOut,
                format!(
                    "Its deadline of {} s has passed.",
                    task.timeout.unwrap_or_default()
                ),
            ),
            Self::Silent => (
                Outcome::TimedOut,
                format!(
                    "It wrote nothing for {} s (engine.silence_timeout).",
                    config.silence_timeout
                ),
            ),
            Self::Interrupted => (Outcome::Interrupted, "The server was stopped.".into()),
        }
    }
}
