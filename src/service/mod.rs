//! The use cases: permission, validation, write, record. What both front ends and the command
//! line call, and nothing else reaches the store or the engine.

mod actor;
mod instances;
mod login;
mod output;
mod tasks;
mod users;

pub use actor::{Action, Actor};
pub use output::{EventId, Events, OutputReader, TaskEvent, View};
pub use tasks::TaskUpdate;

use crate::domain::Result;

/// The use cases; cheap to clone.
#[derive(Clone)]
pub struct Service {}

/// The condition of an `If-Match` header (RFC 9110 section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever version it has.
    Any,
    /// One of these versions; a tag that is none of ours matches nothing.
    Versions(Vec<i64>),
}

/// What an `Idempotency-Key` header stands for: the same key and the same body from the same user
/// on the same route are one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// 1 to 128 visible characters.
    pub key: String,
    /// SHA-256 of the body as it came.
    pub fingerprint: [u8; 32],
}

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
