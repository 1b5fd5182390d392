//! The use cases: permission, validation, write, record. What both front ends and the command
//! line call, and nothing else reaches the store or the engine.

mod actor;
mod instances;
mod login;
mod output;
mod tasks;
mod users;

pub use crate::domain::{Idempotency, IfMatch, TaskUpdate};
pub use actor::{Action, Actor};
pub use output::{EventId, Events, OutputReader, TaskEvent, View};

use crate::domain::Result;

/// The use cases; cheap to clone.
#[derive(Clone)]
pub struct Service {}

impl Service {
    /// The most rows that one call of a list gives: a longer list is read in several calls, so
    /// that no read holds the store for long.
    pub const BATCH: u32 = 256;

    /// Whether the store answers and the engine runs.
    ///
    /// # Errors
    /// `Unavailable` where one of them does not, or the server stops.
    pub async fn ready(&self) -> Result<()> {
        unimplemented!()
    }
}
