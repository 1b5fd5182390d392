//! A task's row: its columns, and how they become a task and come from one.

use crate::domain::{
    Approval, ApprovalState, Gap, InstanceId, Mode, Outcome, RunId, State, Stream, StreamInfo,
    Task, TaskId, UserId,
};
use crate::store::launch;
use crate::store::rows::unknown_word;
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) const COLUMNS: &str = "id, name, tag, instance, script, user, state, outcome, reason, rc, signal, created, created_by,
     start, \"end\", timeout, cancel_requested, amended, stdout_bytes, stdout_gap_offset, stdout_gap_length,
     stderr_bytes, stderr_gap_offset, stderr_gap_length, version,
     amended AND EXISTS (SELECT 1 FROM amended_output a WHERE a.task = tasks.id AND a.stream = 1),
     amended AND EXISTS (SELECT 1 FROM amended_output a WHERE a.task = tasks.id AND a.stream = 2),
     state = 'INIT' AND EXISTS (SELECT 1 FROM instances i WHERE i.id = tasks.instance AND i.state = 'DEACTIVATE'),
     mode, env, cwd, interpreter, become_method, become_user, become_password, pty, stdin_bytes, retries, retry_delay,
     attempt, not_before, run, process_pid, process_started, process_boot, process_connection,
     owner, secrets, masked, approval, approval_expires, approval_address, approval_by, approval_at, approval_comment,
     pinned";

pub(super) fn task(row: &Row) -> rusqlite::Result<Task> {
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
        pinned: row.get(55)?,
    })
}

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

/// One task, inside whatever transaction the connection is in.
pub(in crate::store) fn get(c: &Connection, id: TaskId) -> rusqlite::Result<Option<Task>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1"))?
        .query_row([id.0], task)
        .optional()
}

/// Writes what can change in a task; its output's figures are written with the output.
pub(in crate::store) fn put(c: &Connection, it: &Task) -> rusqlite::Result<()> {
    let approval = it.approval.as_ref();
    c.prepare_cached(
        "UPDATE tasks SET name = ?2, tag = ?3, state = ?4, outcome = ?5, reason = ?6, rc = ?7, signal = ?8,
         start = ?9, \"end\" = ?10, cancel_requested = ?11, amended = ?12, version = ?13, attempt = ?14,
         not_before = ?15, run = ?16, approval = ?17, approval_by = ?18, approval_at = ?19,
         approval_comment = ?20, pinned = ?21 WHERE id = ?1",
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
        approval.map(|it| &it.comment),
        it.pinned
    ])?;
    Ok(())
}

/// The columns in which a stream's figures stand, as `[bytes, gap offset, gap length]`.
pub(in crate::store) fn figure_columns(stream: Stream) -> [&'static str; 3] {
    match stream {
        Stream::Stdout => ["stdout_bytes", "stdout_gap_offset", "stdout_gap_length"],
        Stream::Stderr => ["stderr_bytes", "stderr_gap_offset", "stderr_gap_length"],
    }
}
