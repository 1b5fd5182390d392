use super::rows::unknown_word;
use super::{Store, tasks};
use crate::domain::{Attempt, Ending, Outcome, Result, Task, TaskId};
use rusqlite::{Row, params};

fn attempt(row: &Row) -> rusqlite::Result<Attempt> {
    let outcome: String = row.get(3)?;
    Ok(Attempt {
        number: row.get(0)?,
        start: row.get(1)?,
        end: row.get(2)?,
        outcome: Outcome::parse(&outcome).ok_or_else(|| unknown_word(3, outcome))?,
        reason: row.get(4)?,
    })
}

impl Store {
    /// Puts a task whose run could not begin back to what waits, and keeps the attempt. None where
    /// it is gone, has ended, or may not be tried again any more: then nothing is changed.
    ///
    /// # Errors
    /// `Unavailable`: nothing is written, and the same call may be made again.
    pub async fn retry_task(&self, id: TaskId, ending: Ending, now: i64) -> Result<Option<Task>> {
        self.write(move |c| {
            let Some(mut it) = tasks::get(c, id)? else {
                return Ok(None);
            };
            if it.state.has_ended() || !it.may_retry(&ending) {
                return Ok(None);
            }
            let attempt = it.retry(ending, now)?;
            c.prepare_cached(
                "INSERT INTO attempts (task, number, start, \"end\", outcome, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id.0,
                attempt.number,
                attempt.start,
                attempt.end,
                attempt.outcome.as_str(),
                attempt.reason
            ])?;
            tasks::put(c, &it)?;
            Ok(Some(it))
        })
        .await
    }

    /// The runs of a task that could not begin, before the last one: the first comes first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn attempts(&self, id: TaskId) -> Result<Vec<Attempt>> {
        self.read(move |c| {
            c.prepare_cached(
                "SELECT number, start, \"end\", outcome, reason FROM attempts WHERE task = ?1 ORDER BY number",
            )?
            .query_map([id.0], attempt)?
            .collect()
        })
        .await
    }
}
