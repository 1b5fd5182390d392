use super::audit::{self, Act};
use super::conditions::Conditions;
use super::fault::Fault;
use super::idempotency::{self, Scope};
use super::rows::unknown_word;
use super::{Store, access, approvals, instances, launch, output};
use crate::domain::{
    Approval, ApprovalRules, ApprovalState, Become, By, Ending, Error, Gap, Idempotency, IfMatch,
    Instance, InstanceId, InstanceState, Kind, Mode, NewTask, Order, Outcome, Page, RemoteProcess,
    Result, RunId, Scopes, State, Stream, StreamInfo, Task, TaskFilter, TaskId, TaskUpdate, UserId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

const COLUMNS: &str = "id, name, tag, instance, script, user, state, outcome, reason, rc, signal, created, created_by,
     start, \"end\", timeout, cancel_requested, amended, stdout_bytes, stdout_gap_offset, stdout_gap_length,
     stderr_bytes, stderr_gap_offset, stderr_gap_length, version,
     amended AND EXISTS (SELECT 1 FROM amended_output a WHERE a.task = tasks.id AND a.stream = 1),
     amended AND EXISTS (SELECT 1 FROM amended_output a WHERE a.task = tasks.id AND a.stream = 2),
     state = 'INIT' AND EXISTS (SELECT 1 FROM instances i WHERE i.id = tasks.instance AND i.state = 'DEACTIVATE'),
     mode, env, cwd, interpreter, become_method, become_user, become_password, pty, stdin_bytes, retries, retry_delay,
     attempt, not_before, run, process_pid, process_started, process_boot, process_connection,
     owner, secrets, masked, approval, approval_expires, approval_address, approval_by, approval_at, approval_comment";

/// What a removed instance was called and labelled nobody knows any more.
const ALLOWED: &str = "coalesce(
     (SELECT allows(?, tasks.user, i.id, i.ip, i.labels) FROM instances i WHERE i.id = tasks.instance),
     allows(?, tasks.user, tasks.instance, NULL, NULL))";

/// Ids that one read looks through for a text.
const WINDOW: i64 = 20_000;

fn stream_info(row: &Row, first: usize) -> rusqlite::Result<StreamInfo> {
    let offset: Option<u64> = row.get(first + 1)?;
    let length: Option<u64> = row.get(first + 2)?;
    Ok(StreamInfo {
        bytes: row.get(first)?,
        gap: offset
            .zip(length)
            .map(|(offset, length)| Gap { offset, length }),
    })
}

fn task(row: &Row) -> rusqlite::Result<Task> {
    let state: String = row.get(6)?;
    let outcome: Option<String> = row.get(7)?;
    let mode: String = row.get(28)?;
    let run: Option<String> = row.get(41)?;
    Ok(Task {
        id: TaskId(row.get(0)?),
        name: row.get(1)?,
        tag: row.get(2)?,
        instance: InstanceId(row.get(3)?),
        script: row.get(4)?,
        user: row.get(5)?,
        state: State::parse(&state).ok_or_else(|| unknown_word(6, state))?,
        outcome: outcome
            .map(|word| Outcome::parse(&word).ok_or_else(|| unknown_word(7, word)))
            .transpose()?,
        reason: row.get(8)?,
        rc: row.get(9)?,
        signal: row.get(10)?,
        created: row.get(11)?,
        created_by: row.get(12)?,
        start: row.get(13)?,
        end: row.get(14)?,
        timeout: row.get(15)?,
        cancel_requested: row.get(16)?,
        amended: row.get(17)?,
        stdout: stream_info(row, 18)?,
        stderr: stream_info(row, 21)?,
        version: row.get(24)?,
        stdout_amended: row.get(25)?,
        stderr_amended: row.get(26)?,
        held: row.get(27)?,
        mode: Mode::parse(&mode).ok_or_else(|| unknown_word(28, mode))?,
        launch: launch::launch(row, 29)?,
        stdin_bytes: row.get(36)?,
        retries: row.get(37)?,
        retry_delay: row.get(38)?,
        attempt: row.get(39)?,
        not_before: row.get(40)?,
        run: run.map(RunId),
        process: launch::process(row, 42)?,
        owner: row.get::<_, Option<i64>>(46)?.map(UserId),
        secrets: launch::pairs(row, 47)?,
        masked: row.get(48)?,
        approval: approval(row, 49)?,
    })
}

fn approval(row: &Row, first: usize) -> rusqlite::Result<Option<Approval>> {
    let Some(state) = row.get::<_, Option<String>>(first)? else {
        return Ok(None);
    };
    Ok(Some(Approval {
        state: ApprovalState::parse(&state).ok_or_else(|| unknown_word(first, state))?,
        expires: row.get(first + 1)?,
        address: row.get(first + 2)?,
        by: row.get(first + 3)?,
        at: row.get(first + 4)?,
        comment: row.get::<_, Option<String>>(first + 5)?.unwrap_or_default(),
    }))
}

pub(super) fn object(id: TaskId) -> String {
    format!("task/{id}")
}

/// One task, inside whatever transaction the connection is in.
pub(super) fn get(c: &Connection, id: TaskId) -> rusqlite::Result<Option<Task>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1"))?
        .query_row([id.0], task)
        .optional()
}

/// As [`get`], where these scopes see it.
fn get_seen(c: &Connection, scopes: &Scopes, id: TaskId) -> rusqlite::Result<Option<Task>> {
    match get(c, id)? {
        Some(it) if access::sees_task(c, scopes, &it)? => Ok(Some(it)),
        Some(_) | None => Ok(None),
    }
}

/// Writes what can change in a task; its output's figures are written with the output.
pub(super) fn put(c: &Connection, it: &Task) -> rusqlite::Result<()> {
    let approval = it.approval.as_ref();
    c.prepare_cached(
        "UPDATE tasks SET name = ?2, tag = ?3, state = ?4, outcome = ?5, reason = ?6, rc = ?7, signal = ?8,
         start = ?9, \"end\" = ?10, cancel_requested = ?11, amended = ?12, version = ?13, attempt = ?14,
         not_before = ?15, run = ?16, approval = ?17, approval_by = ?18, approval_at = ?19,
         approval_comment = ?20 WHERE id = ?1",
    )?
    .execute(params![
        it.id.0,
        it.name,
        it.tag,
        it.state.as_str(),
        it.outcome.map(Outcome::as_str),
        it.reason,
        it.rc,
        it.signal,
        it.start,
        it.end,
        it.cancel_requested,
        it.amended,
        it.version,
        it.attempt,
        it.not_before,
        it.run.as_ref().map(|run| &run.0),
        approval.map(|it| it.state.as_str()),
        approval.and_then(|it| it.by.as_ref()),
        approval.and_then(|it| it.at),
        approval.map(|it| &it.comment)
    ])?;
    Ok(())
}

/// Where the instance is given, its index is the one to take, whatever else is: a `+` keeps the
/// planner from the others. What waits or runs anywhere is little, too.
fn narrowed(filter: &TaskFilter, scopes: &Scopes, page: Page) -> Conditions {
    let other = |column: &str| match filter.instance {
        Some(_) => format!("+{column}"),
        None => column.to_owned(),
    };
    let state = match filter.state {
        Some(State::Done | State::Abort) | None => other("state"),
        Some(State::Init | State::Current) => "state".to_owned(),
    };
    let mut conditions = Conditions::page(page);
    conditions.equal(&state, filter.state.map(State::as_str));
    conditions.equal("instance", filter.instance.map(|i| i.0));
    conditions.equal(&other("user"), filter.user.clone());
    conditions.equal(&other("tag"), filter.tag.clone());
    conditions.equal(&other("name"), filter.name.clone());
    match filter.approval {
        // As the index has it.
        Some(ApprovalState::Waiting) => conditions.is("approval = 'waiting'"),
        other => conditions.equal("approval", other.map(ApprovalState::as_str)),
    }
    conditions.contains(&["name", "tag", "script"], filter.q.as_deref());
    if !scopes.are_everything() {
        conditions.hold(ALLOWED, scopes.to_string());
    }
    conditions
}

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
    /// A page of the tasks, in the page's order, without their output.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        scopes: &Scopes,
        page: Page,
    ) -> Result<Vec<Task>> {
        if filter.q.is_some() || !scopes.are_everything() {
            return self.search_tasks(filter, scopes, page).await;
        }
        let conditions = narrowed(filter, scopes, page);
        self.read(move |c| conditions.select(c, COLUMNS, "tasks", task))
            .await
    }

    /// A text, or what a scope holds, is found by reading what it may stand in: in windows of ids, each a read of its own,
    /// so that a long history holds neither a reader nor the log.
    async fn search_tasks(
        &self,
        filter: &TaskFilter,
        scopes: &Scopes,
        page: Page,
    ) -> Result<Vec<Task>> {
        const LAST: &str = "SELECT coalesce(max(id), 0) FROM tasks";
        let last: i64 = self
            .read(|c| c.prepare_cached(LAST)?.query_row([], |row| row.get(0)))
            .await?;
        let limit = page.limit.unwrap_or(u32::MAX) as usize;
        let mut after = page.after.unwrap_or(0).max(0);
        let mut before = page.before.unwrap_or(i64::MAX).min(last + 1);
        let mut found = Vec::new();
        while found.len() < limit && after < before.saturating_sub(1) {
            let (low, high) = match page.order {
                Order::Asc => (after, before.min(after + WINDOW)),
                Order::Desc => (after.max(before - WINDOW), before),
            };
            match page.order {
                Order::Asc => after = high - 1,
                Order::Desc => before = low + 1,
            }
            let window = Page {
                limit: u32::try_from(limit - found.len()).ok(),
                after: Some(low),
                before: Some(high),
                order: page.order,
            };
            let conditions = narrowed(filter, scopes, window);
            let more = self.read(move |c| conditions.select(c, COLUMNS, "tasks", task));
            found.extend(more.await?);
        }
        Ok(found)
    }

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

    /// Keeps a new task in INIT, or finds what the same key posted before (then the flag is
    /// false).
    ///
    /// # Errors
    /// `NotFound` and `Conflict` for an instance that is not there or DEACTIVATE; `KeyReused`;
    /// `Conflict` where what the key posted is gone.
    pub async fn create_task(
        &self,
        new: NewTask,
        key: Option<Idempotency>,
        rules: ApprovalRules,
        by: By,
    ) -> Result<(Task, bool)> {
        self.act(by, move |c, by| {
            let scope = key.as_ref().map(|key| Scope {
                user: by.key_owner(),
                route: "tasks",
                key,
            });
            if let Some(scope) = &scope
                && let Some(made) = idempotency::find(c, scope, by.at)?
            {
                let posted = get(c, TaskId(made))?.ok_or_else(|| {
                    Error::conflict("The task that this Idempotency-Key posted was removed.")
                })?;
                // By now, or by this token, it may be out of sight.
                return match access::sees_task(c, &by.scopes, &posted)? {
                    true => Ok((posted, false)),
                    false => Err(Error::not_found("There is no such instance.").into()),
                };
            }
            let instance = access::seen(&by.scopes, instances::get(c, new.instance)?)
                .ok_or_else(|| Error::not_found("There is no such instance."))?;
            if !by.scopes.allow(&new.user, (&instance).into()) {
                return Err(Error::new(
                    Kind::Forbidden,
                    format!(
                        "Your scope does not let you run anything as {} on instance {}.",
                        new.user, instance.id
                    ),
                )
                .into());
            }
            if instance.state == InstanceState::Deactivate {
                return Err(Error::conflict(format!(
                    "Instance {} is DEACTIVATE and takes no tasks. Set it ACTIVE first.",
                    instance.id
                ))
                .into());
            }
            let mut new = new;
            new.mode.get_or_insert(instance.mode);
            let id = insert(c, &new, by)?;
            let needs_approval = approvals::needed(c, &rules, &new.user, instance.id)?;
            if needs_approval {
                approvals::ask(c, id, instance.id, by.at + rules.expire())?;
            }
            let detail = json!({
                "name": new.name, "instance": instance.id.0, "address": instance.address(),
                "user": new.user, "script_bytes": new.script.len(),
                "script_sha256": script_hash(&new.script), "approval": needs_approval,
            });
            let act = Act {
                action: "task.create",
                object: object(id),
                detail,
            };
            audit::append(c, by, act)?;
            if let Some(scope) = &scope {
                idempotency::remember(c, scope, id.0, by.at)?;
            }
            let task = get(c, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok((task, true))
        })
        .await
    }

    /// Cancels or amends a task; none where there is no such one. A cancelled one that waited has
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
            let old = super::amendments::amend(c, &mut it, update.amend)?;
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
    /// `PreconditionFailed`; `Conflict` until it has ended.
    pub async fn remove_task(&self, id: TaskId, if_match: Option<IfMatch>, by: By) -> Result<bool> {
        self.act(by, move |c, by| {
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
            let detail = json!({
                "name": it.name, "instance": it.instance.0, "user": it.user,
                "created_by": it.created_by, "state": it.state.as_str(), "rc": it.rc,
            });
            note(c, by, "task.remove", &it, detail)?;
            c.prepare_cached("DELETE FROM tasks WHERE id = ?1")?
                .execute([id.0])?;
            Ok(true)
        })
        .await
    }

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
                    if let Some(why) = access::lapsed(c, &it, &instance)? {
                        claims.ended.push(refuse(c, it, why, now)?);
                        continue;
                    }
                    if let Some(why) = approvals::moved(c, &it)? {
                        it.finish(Ending::aborted(Outcome::StartFailed, why), now)?;
                        put(c, &it)?;
                        claims.ended.push(it.id);
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
    Ok(Some(it))
}

/// Ends a task that has waited for longer than who posted it might post it.
fn refuse(c: &Connection, mut it: Task, why: &str, now: i64) -> Result<TaskId, Fault> {
    let detail = json!({
        "name": it.name, "instance": it.instance.0, "user": it.user,
        "created_by": it.created_by, "why": format!("{} {why}", it.created_by),
    });
    note(c, &By::server(now), "task.refuse", &it, detail)?;
    let reason = format!(
        "It was posted by {}, who {why} since: nothing was run. Somebody who may has to post it again.",
        it.created_by
    );
    it.finish(Ending::aborted(Outcome::StartFailed, reason), now)?;
    put(c, &it)?;
    Ok(it.id)
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

/// What the audit trail knows a script by.
pub(super) fn script_hash(script: &str) -> String {
    let hash = Sha256::digest(script);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

fn insert(c: &Connection, new: &NewTask, by: &By) -> rusqlite::Result<TaskId> {
    let become_user = new.launch.become_user.as_ref();
    c.prepare_cached(
        "INSERT INTO tasks (name, tag, instance, script, user, timeout, created, created_by, state, mode, env, cwd,
         interpreter, become_method, become_user, become_password, pty, stdin_bytes, retries, retry_delay, owner, secrets)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'INIT', ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )?
    .execute(params![
        new.name,
        new.tag,
        new.instance.0,
        new.script,
        new.user,
        new.timeout,
        by.at,
        by.name,
        new.mode.unwrap_or_default().as_str(),
        launch::pairs_text(&new.launch.env),
        new.launch.cwd,
        new.launch.interpreter,
        become_user.map(|it| it.method.as_str()),
        become_user.map(|it: &Become| &it.user),
        become_user.and_then(|it| it.password.as_ref()),
        new.launch.pty,
        new.stdin.as_ref().map_or(0, Vec::len),
        new.retries,
        new.retry_delay,
        by.grant.map(|grant| grant.user.0),
        launch::pairs_text(&new.secrets),
    ])?;
    let id = TaskId(c.last_insert_rowid());
    if let Some(stdin) = new.stdin.as_ref().filter(|stdin| !stdin.is_empty()) {
        c.prepare_cached("INSERT INTO stdin (task, data) VALUES (?1, ?2)")?
            .execute(params![id.0, stdin])?;
    }
    Ok(id)
}

/// The columns in which a stream's figures stand, as `[bytes, gap offset, gap length]`.
pub(super) fn figure_columns(stream: Stream) -> [&'static str; 3] {
    match stream {
        Stream::Stdout => ["stdout_bytes", "stdout_gap_offset", "stdout_gap_length"],
        Stream::Stderr => ["stderr_bytes", "stderr_gap_offset", "stderr_gap_length"],
    }
}
