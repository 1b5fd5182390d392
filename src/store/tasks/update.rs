//! What people do with a task that is there: cancel it, pin it, amend it, remove it.

use super::{get_seen, note, put};
use crate::domain::{By, Error, IfMatch, Result, State, Task, TaskId, TaskUpdate};
use crate::store::{Store, access, amendments};
use rusqlite::Connection;
use serde_json::json;

impl Store {
    /// Cancels, pins, unpins or amends a task; none where there is no such one. A cancelled one that waited has
    /// `waiting` as its reason.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` where its state forbids the change.
    pub async fn update_task(
        &self,
        id: TaskId,
        update: TaskUpdate,
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<Option<Task>> {
        self.act(by, move |c, by| {
            let Some(mut it) = get_seen(c, &by.scopes, id)? else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), it.version)?;
            match update.state {
                Some(State::Abort) => {
                    let reason = format!("Cancelled by {} before it began.", by.name);
                    let before = it.version;
                    it.request_cancel(by.at, &reason)?;
                    if it.version != before {
                        note(c, by, "task.cancel", &it, json!({"name": it.name}))?;
                    }
                }
                Some(state) if state != it.state => {
                    return Err(Error::conflict(format!(
                        "state: a task cannot be set to {}; ABORT asks for a cancel.",
                        state.as_str()
                    ))
                    .into());
                }
                Some(_) | None => {}
            }
            if let Some(pinned) = update.pinned.filter(|to| *to != it.pinned) {
                it.pinned = pinned;
                it.version += 1;
                let action = if pinned { "task.pin" } else { "task.unpin" };
                note(c, by, action, &it, json!({"name": it.name}))?;
            }
            let old = amendments::amend(c, &mut it, update.amend)?;
            if !old.is_empty() {
                note(c, by, "task.amend", &it, json!({"old": old}))?;
            }
            put(c, &it)?;
            Ok(Some(it))
        })
        .await
    }

    /// Removes a task and its output. False where there is no such one.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` until it has ended, and while it is pinned.
    pub async fn remove_task(&self, id: TaskId, if_match: Option<IfMatch>, by: By) -> Result<bool> {
        self.write_freeing(move |c| {
            access::check(c, &by)?;
            let Some(it) = get_seen(c, &by.scopes, id)? else {
                return Ok(false);
            };
            IfMatch::check(if_match.as_ref(), it.version)?;
            if !it.state.has_ended() {
                return Err(Error::conflict(format!(
                    "Task {id} is {}. Cancel it or wait for its end, then remove it.",
                    it.state.as_str()
                ))
                .into());
            }
            if it.pinned {
                return Err(Error::conflict(format!(
                    "Task {id} is pinned. Unpin it, then remove it."
                ))
                .into());
            }
            let detail = json!({
                "name": it.name, "instance": it.instance.0, "user": it.user,
                "created_by": it.created_by, "state": it.state.as_str(), "rc": it.rc,
            });
            note(c, &by, "task.remove", &it, detail)?;
            delete(c, id)?;
            Ok(true)
        })
        .await
    }
}

/// Removes a task with all that hangs on it.
pub(in crate::store) fn delete(c: &Connection, id: TaskId) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM tasks WHERE id = ?1")?
        .execute([id.0])?;
    Ok(())
}
