//! The tasks that are CURRENT: what is noted of them on the way, and how they end.

use super::row::{COLUMNS, task};
use super::{get, put};
use crate::domain::{Ending, Instance, Outcome, RemoteProcess, Result, Task, TaskId};
use crate::store::fault::Fault;
use crate::store::{Store, instances, output};
use rusqlite::{Connection, params};
use std::sync::Arc;

impl Store {
    /// Every task that is CURRENT, with its instance, which cannot be removed meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn running_tasks(&self) -> Result<Vec<(Task, Instance)>> {
        self.read(|c| {
            let running = c
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM tasks INDEXED BY tasks_running WHERE state = 'CURRENT'"
                ))?
                .query_map([], task)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut found = Vec::with_capacity(running.len());
            for it in running {
                if let Some(instance) = instances::get(c, it.instance)? {
                    found.push((it, instance));
                }
            }
            Ok(found)
        })
        .await
    }

    /// The ids of all detached runs whose end is not on record.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn detached_runs(&self) -> Result<Vec<String>> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT run FROM tasks INDEXED BY tasks_running
                 WHERE state = 'CURRENT' AND mode = 'detached' AND run IS NOT NULL",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
        })
        .await
    }

    /// The running tasks whose cancel was asked for.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tasks_to_cancel(&self) -> Result<Vec<TaskId>> {
        self.read(|c| {
            c.prepare_cached("SELECT id FROM tasks INDEXED BY tasks_running WHERE state = 'CURRENT' AND cancel_requested")?
                .query_map([], |row| row.get(0).map(TaskId))?
                .collect()
        })
        .await
    }

    /// Keeps which process a running task has on its machine.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn record_process(&self, id: TaskId, process: RemoteProcess) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached(
                "UPDATE tasks SET process_pid = ?2, process_started = ?3, process_boot = ?4,
                 process_connection = ?5 WHERE id = ?1 AND state = 'CURRENT'",
            )?
            .execute(params![
                id.0,
                process.pid,
                process.started,
                process.boot,
                process.connection
            ])?;
            Ok(())
        })
        .await
    }

    /// Says what a running task waits for, or takes that away.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_task(&self, id: TaskId, reason: Option<String>) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached(
                "UPDATE tasks SET reason = ?2, version = version + 1 WHERE id = ?1 AND state = 'CURRENT'",
            )?
            .execute(params![id.0, reason])?;
            Ok(())
        })
        .await
    }

    /// Ends a task, with the last of its output. None where it is gone or has ended before.
    ///
    /// # Errors
    /// `Unavailable`: nothing is written, and the same call may be made again.
    pub async fn finish_task(
        &self,
        id: TaskId,
        last: Arc<output::OutputWrite>,
        ending: Ending,
        now: i64,
    ) -> Result<Option<Task>> {
        self.write(move |c| {
            output::write(c, id, &last)?;
            output::settle(c, id, &last)?;
            finish(c, id, ending, now)
        })
        .await
    }

    /// Ends a task whose output is as complete as it will be. None where it is gone or has ended
    /// before.
    ///
    /// # Errors
    /// `Unavailable`: nothing is written, and the same call may be made again.
    pub async fn end_task(&self, id: TaskId, ending: Ending, now: i64) -> Result<Option<Task>> {
        self.write(move |c| finish(c, id, ending, now)).await
    }
}

fn finish(c: &Connection, id: TaskId, ending: Ending, now: i64) -> Result<Option<Task>, Fault> {
    let Some(mut it) = get(c, id)? else {
        return Ok(None);
    };
    if it.state.has_ended() {
        return Ok(None);
    }
    it.finish(ending, now)?;
    put(c, &it)?;
    let outcome = it.outcome.map_or("", Outcome::as_str);
    metrics::counter!("wsexec_tasks_ended_total", "state" => it.state.as_str(), "outcome" => outcome)
        .increment(1);
    if let (Some(start), Some(end)) = (it.start, it.end) {
        metrics::histogram!("wsexec_task_seconds").record((end - start) as f64);
    }
    Ok(Some(it))
}
