//! Tasks. A state changes on disk only by reading the task, one of its own transitions, and
//! [`put`], all in one transaction.

mod count;
mod create;
mod list;
mod queue;
mod row;
mod running;
mod search;
mod update;
mod way;

pub use queue::Claims;

pub(super) use create::script_hash;
pub(super) use row::{figure_columns, get, put};

use super::audit::{self, Act};
use super::fault::Fault;
use super::{Store, access};
use crate::domain::{By, Result, Scopes, Task, TaskId};
use rusqlite::{Connection, OptionalExtension};

impl Store {
    /// One task.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        self.read(move |c| get(c, id)).await
    }

    /// One task, where these scopes see it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn seen_task(&self, id: TaskId, scopes: Scopes) -> Result<Option<Task>> {
        self.read(move |c| get_seen(c, &scopes, id)).await
    }

    /// What a task's script reads; none where it reads nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn task_stdin(&self, id: TaskId) -> Result<Option<Vec<u8>>> {
        self.read(move |c| {
            c.prepare_cached("SELECT data FROM stdin WHERE task = ?1")?
                .query_row([id.0], |row| row.get(0))
                .optional()
        })
        .await
    }
}

/// As [`get`], where these scopes see it.
fn get_seen(c: &Connection, scopes: &Scopes, id: TaskId) -> rusqlite::Result<Option<Task>> {
    match get(c, id)? {
        Some(it) if access::sees_task(c, scopes, &it)? => Ok(Some(it)),
        Some(_) | None => Ok(None),
    }
}

pub(super) fn object(id: TaskId) -> String {
    format!("task/{id}")
}

fn note(
    c: &Connection,
    by: &By,
    action: &str,
    it: &Task,
    detail: serde_json::Value,
) -> Result<(), Fault> {
    let object = object(it.id);
    audit::append(
        c,
        by,
        Act {
            action,
            object,
            detail,
        },
    )
}
