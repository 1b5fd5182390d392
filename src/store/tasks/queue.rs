//! The tasks in INIT as a queue for each instance, and how the engine claims from it.

use super::row::{COLUMNS, task};
use super::{note, put};
use crate::domain::{
    By, Ending, Instance, InstanceId, InstanceState, Outcome, Result, RunId, Task, TaskId,
};
use crate::store::fault::Fault;
use crate::store::{Store, access, approvals, instances};
use rusqlite::{Connection, params};
use serde_json::json;
use uuid::Uuid;

/// What the engine got to run.
#[derive(Debug, Default)]
pub struct Claims {
    /// Tasks that are CURRENT now, each with its instance as it was then.
    pub claimed: Vec<(Task, Instance)>,
    /// Tasks that were approved for another machine than there is now, or whose owners might not
    /// post them any more: they have ended.
    pub ended: Vec<TaskId>,
    /// Instances, of those asked for, that have more waiting.
    pub more: Vec<InstanceId>,
}

impl Store {
    /// Claims waiting tasks, oldest first within each instance, but for those whose next attempt is
    /// due, which come in the order in which they are: from each of these instances up to
    /// so many, and up to `most` in all. What this gives is CURRENT on disk, and is never given
    /// again.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_tasks(
        &self,
        from: Vec<(InstanceId, usize)>,
        most: usize,
        now: i64,
    ) -> Result<Claims> {
        self.write(move |c| {
            let mut claims = Claims::default();
            for (id, places) in from {
                let Some(instance) = instances::get(c, id)? else { continue };
                if instance.state == InstanceState::Deactivate {
                    continue;
                }
                let take = places.min(most - claims.claimed.len());
                // One more than is taken tells whether there is more.
                let mut waiting = c
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM tasks WHERE id IN (
                             SELECT id FROM (SELECT id FROM tasks INDEXED BY tasks_ready WHERE instance = ?1
                                 AND state = 'INIT' AND not_before IS NULL ORDER BY id LIMIT ?2)
                             UNION ALL
                             SELECT id FROM (SELECT id FROM tasks INDEXED BY tasks_delayed WHERE instance = ?1
                                 AND state = 'INIT' AND not_before IS NOT NULL AND not_before <= ?3
                                 ORDER BY not_before, id LIMIT ?2)
                         ) ORDER BY id LIMIT ?2"
                    ))?
                    .query_map(params![id.0, take + 1, now], task)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                if waiting.len() > take {
                    waiting.truncate(take);
                    claims.more.push(id);
                }
                for mut it in waiting {
                    let why = match access::lapsed(c, &it, &instance)? {
                        Some(why) => Some(format!(
                            "It was posted by {}, who {why} since: nothing was run. Somebody who may has to post it again.",
                            it.created_by
                        )),
                        None => approvals::moved(c, &it)?,
                    };
                    if let Some(why) = why {
                        claims.ended.push(refuse(c, it, why, now)?);
                        continue;
                    }
                    it.claim(RunId(Uuid::new_v4().to_string()), now)?;
                    let detail = json!({
                        "address": instance.address(), "user": it.user, "attempt": it.attempt,
                        "identity": instance.identity, "created_by": it.created_by,
                    });
                    note(c, &By::server(now), "task.run", &it, detail)?;
                    put(c, &it)?;
                    claims.claimed.push((it, instance.clone()));
                }
            }
            Ok(claims)
        })
        .await
    }

    /// Lets no task wait for its next attempt for longer than its delay, where the clock has gone back
    /// since that was set.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn shorten_delays(&self, now: i64) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached(
                "UPDATE tasks SET not_before = ?1 + retry_delay, version = version + 1
                 WHERE state = 'INIT' AND not_before > ?1 + retry_delay",
            )?
            .execute([now])?;
            Ok(())
        })
        .await
    }

    /// The instances that have a task in INIT, each found by one step in an index however many
    /// tasks wait there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn instances_with_waiting_tasks(&self) -> Result<Vec<InstanceId>> {
        self.read(|c| {
            c.prepare_cached(
                "WITH RECURSIVE w (i) AS (
                     SELECT min(instance) FROM tasks INDEXED BY tasks_waiting WHERE state = 'INIT'
                     UNION ALL
                     SELECT (SELECT min(instance) FROM tasks INDEXED BY tasks_waiting WHERE state = 'INIT' AND instance > w.i) FROM w WHERE w.i IS NOT NULL
                 ) SELECT i FROM w WHERE i IS NOT NULL",
            )?
            .query_map([], |row| row.get(0).map(InstanceId))?
            .collect()
        })
        .await
    }

    /// The instances that have a task in INIT whose next attempt is due, each found by a step or two
    /// in an index.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn instances_with_due_retries(&self, now: i64) -> Result<Vec<InstanceId>> {
        self.read(move |c| {
            c.prepare_cached(
                "WITH RECURSIVE w (i) AS (
                     SELECT min(instance) FROM tasks INDEXED BY tasks_delayed WHERE state = 'INIT' AND not_before IS NOT NULL
                     UNION ALL
                     SELECT (SELECT min(instance) FROM tasks INDEXED BY tasks_delayed WHERE state = 'INIT' AND not_before IS NOT NULL AND instance > w.i) FROM w WHERE w.i IS NOT NULL
                 ) SELECT i FROM w WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_delayed
                     WHERE instance = w.i AND state = 'INIT' AND not_before IS NOT NULL AND not_before <= ?1)",
            )?
            .query_map([now], |row| row.get(0).map(InstanceId))?
            .collect()
        })
        .await
    }
}

/// Ends a task that may not start any more, with the reason on record.
fn refuse(c: &Connection, mut it: Task, why: String, now: i64) -> Result<TaskId, Fault> {
    let detail = json!({
        "name": it.name, "instance": it.instance.0, "user": it.user,
        "created_by": it.created_by, "why": why,
    });
    note(c, &By::server(now), "task.refuse", &it, detail)?;
    it.finish(Ending::aborted(Outcome::StartFailed, why), now)?;
    put(c, &it)?;
    Ok(it.id)
}
