//! The use cases: permission, validation, write, record. What both front ends and the command
//! line call, and nothing else reaches the store or the engine.

mod actor;
mod approvals;
mod certificates;
mod check;
mod events;
mod host_keys;
mod instances;
mod login;
mod output;
mod tasks;
mod text;
mod users;

pub use crate::domain::{Idempotency, IfMatch, TaskUpdate};
pub use actor::{Action, Actor};
pub use events::{EventId, Events, TaskEvent};
pub use output::{OutputReader, View};

use crate::auth::{Busy, Flights, Passwords, Throttle, Verdict, Verified};
use crate::domain::{ApprovalRules, Clock, Error, Result};
use crate::engine::Engine;
use crate::store::Store;
use std::sync::Arc;

/// The use cases; cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// None for a command beside the server, which runs nothing.
    engine: Option<Engine>,
    clock: Arc<dyn Clock>,
    passwords: Passwords,
    checks: Flights<std::result::Result<Verdict, Busy>>,
    verified: Verified,
    throttle: Throttle,
    approvals: ApprovalRules,
}

impl Service {
    /// The most rows that one call of a list gives: a longer list is read in several calls, so
    /// that no read holds the store for long.
    pub const BATCH: u32 = 256;

    /// Over a store, with the engine that runs its tasks; without one for a command beside the
    /// server.
    pub fn new(
        store: Store,
        engine: Option<Engine>,
        clock: Arc<dyn Clock>,
        approvals: ApprovalRules,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                engine,
                clock,
                passwords: Passwords::new(),
                checks: Flights::default(),
                verified: Verified::default(),
                throttle: Throttle::default(),
                approvals,
            }),
        }
    }

    /// Whether the store answers and the engine runs.
    ///
    /// # Errors
    /// `Unavailable` where one of them does not, or the server stops.
    pub async fn ready(&self) -> Result<()> {
        let engine = self.engine()?;
        if engine.is_stopping() {
            return Err(stopping());
        }
        if !engine.is_alive() {
            return Err(Error::unavailable("The engine has ended.", 10));
        }
        self.inner.store.ready().await
    }

    /// Takes no new tasks from now on, and answers whoever waits.
    pub fn begin_stop(&self) {
        if let Some(engine) = &self.inner.engine {
            engine.begin_stop();
        }
    }

    fn engine(&self) -> Result<&Engine> {
        self.inner
            .engine
            .as_ref()
            .ok_or_else(|| Error::unavailable("No engine runs here.", 10))
    }

    fn now(&self) -> i64 {
        self.inner.clock.now()
    }
}

fn stopping() -> Error {
    Error::unavailable("The server stops. Try again when it is back.", 10)
}
