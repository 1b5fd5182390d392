//! The second person that tasks wait for.

use super::audit::{self, Act};
use super::fault::Fault;
use super::{Store, access, instances, jumps, tasks};
use crate::domain::{
    ApprovalDecision, ApprovalRules, ApprovalState, ApprovalVerdict, By, Error, IfMatch, Instance,
    InstanceId, Kind, Result, Task, TaskId, way_text,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

/// Tasks that one sweep ends at most, so that it holds the writer for a short time only.
const SWEEP: usize = 256;

/// Whether a login on an instance needs a second person: on it, on what it is reached through, or
/// on what is declared at the same address.
pub(super) fn needed(
    c: &Connection,
    rules: &ApprovalRules,
    login: &str,
    id: InstanceId,
) -> rusqlite::Result<bool> {
    let mut user = login.to_owned();
    for hop in jumps::way(c, id)? {
        if at_address(c, &hop.instance)?
            .iter()
            .any(|it| rules.need(&user, it))
        {
            return Ok(true);
        }
        if let Some(named) = hop.instance.jump_user {
            user = named;
        }
    }
    Ok(false)
}

/// An instance, and others that stand for the same machine.
fn at_address(c: &Connection, it: &Instance) -> rusqlite::Result<Vec<Instance>> {
    let ids = c
        .prepare_cached("SELECT id FROM instances WHERE ip = ?1 COLLATE NOCASE AND port = ?2")?
        .query_map(params![it.ip, it.port], |row| row.get(0).map(InstanceId))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let found = ids.into_iter().map(|id| instances::get(c, id));
    Ok(found
        .collect::<rusqlite::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// The way to an instance, as a decision is about it.
pub(super) fn address(c: &Connection, id: InstanceId) -> rusqlite::Result<String> {
    Ok(way_text(&jumps::way(c, id)?))
}

/// Makes a new task wait. It may not begin before the end of time: the indexes that lead to what
/// may be claimed pass it by.
pub(super) fn ask(c: &Connection, task: TaskId, on: InstanceId, expires: i64) -> Result<(), Fault> {
    c.prepare_cached(
        "UPDATE tasks SET approval = 'waiting', approval_expires = ?2, approval_address = ?3,
         not_before = ?4 WHERE id = ?1",
    )?
    .execute(params![task.0, expires, address(c, on)?, i64::MAX])?;
    Ok(())
}

/// What is wrong with beginning an approved task now: it leads elsewhere by now.
pub(super) fn moved(c: &Connection, it: &Task) -> rusqlite::Result<Option<String>> {
    let Some(approval) = &it.approval else {
        return Ok(None);
    };
    let now = address(c, it.instance)?;
    let same = now == approval.address;
    Ok((!same).then(|| {
        format!(
            "It was posted for {}, and instance {} is {now} by now: nothing was run. Post it again \
             for that machine.",
            approval.address, it.instance
        )
    }))
}

/// Nobody decides about what they posted, whatever they are logged in with.
fn require_second(by: &By, it: &Task) -> Result<(), Fault> {
    match by.grant.map(|grant| grant.user) {
        Some(user) if it.owner == Some(user) => Err(Error::new(
            Kind::Forbidden,
            "Nobody decides about their own task: it needs a second person. Cancel it where it is \
             not wanted any more.",
        )
        .into()),
        Some(_) | None => Ok(()),
    }
}

fn record(c: &Connection, by: &By, action: &str, it: &Task) -> Result<(), Fault> {
    let approval = it.approval.as_ref();
    let detail = json!({
        "name": it.name, "instance": it.instance.0, "user": it.user, "created_by": it.created_by,
        "address": approval.map(|it| &it.address), "comment": approval.map(|it| &it.comment),
        "script_sha256": tasks::script_hash(&it.script),
    });
    let object = tasks::object(it.id);
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

impl Store {
    /// Whether a login on an instance needs a second person, by these rules.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn asks_for_approval(
        &self,
        rules: ApprovalRules,
        login: String,
        id: InstanceId,
    ) -> Result<bool> {
        self.read(move |c| needed(c, &rules, &login, id)).await
    }

    /// Decides about a task that waits; none where these scopes see no such one.
    ///
    /// # Errors
    /// `Forbidden` for one's own; `PreconditionFailed`; `Conflict` where it does not wait, the time
    /// is over, or the instance is another machine by now.
    pub async fn decide_approval(
        &self,
        id: TaskId,
        verdict: ApprovalVerdict,
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<Option<Task>> {
        self.act(by, move |c, by| {
            let seen = match tasks::get(c, id)? {
                Some(it) if access::sees_task(c, &by.scopes, &it)? => Some(it),
                Some(_) | None => None,
            };
            let Some(mut it) = seen else { return Ok(None) };
            IfMatch::check(if_match.as_ref(), it.version)?;
            it.require_undecided()?;
            require_second(by, &it)?;
            if let Some(approval) = &mut it.approval {
                if approval.expires <= by.at {
                    return Err(Error::conflict("The time to decide about this is over.").into());
                }
                approval.by = Some(by.name.clone());
                approval.comment.clone_from(&verdict.comment);
            }
            let said = match verdict.comment.as_str() {
                "" => ".".to_owned(),
                comment => format!(": {comment}"),
            };
            let action = match verdict.decision {
                ApprovalDecision::Approve => {
                    if let Some(why) = moved(c, &it)? {
                        return Err(Error::conflict(why).into());
                    }
                    it.decide(ApprovalState::Approved, "", by.at)?;
                    "approval.approve"
                }
                ApprovalDecision::Refuse => {
                    let reason = format!("Refused by {}{said}", by.name);
                    it.decide(ApprovalState::Refused, &reason, by.at)?;
                    "approval.refuse"
                }
            };
            record(c, by, action, &it)?;
            tasks::put(c, &it)?;
            Ok(Some(it))
        })
        .await
    }

    /// Ends tasks about which nobody decided in time, and gives them; and when the next one's time
    /// is over.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn expire_approvals(&self, now: i64) -> Result<(Vec<TaskId>, Option<i64>)> {
        let next = self.read(next_expiry).await?;
        if next.is_none_or(|at| at > now) {
            return Ok((Vec::new(), next));
        }
        self.write(move |c| {
            let due = c
                .prepare_cached(
                    "SELECT id FROM tasks INDEXED BY tasks_to_approve
                     WHERE approval = 'waiting' AND approval_expires <= ?1
                     ORDER BY approval_expires, id LIMIT ?2",
                )?
                .query_map(params![now, SWEEP], |row| row.get(0).map(TaskId))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for id in &due {
                let Some(mut it) = tasks::get(c, *id)? else {
                    continue;
                };
                let reason = "Nobody decided in time whether it may run. Post it again.";
                it.decide(ApprovalState::Expired, reason, now)?;
                record(c, &By::server(now), "approval.expire", &it)?;
                tasks::put(c, &it)?;
            }
            Ok((due, next_expiry(c)?))
        })
        .await
    }
}

fn next_expiry(c: &Connection) -> rusqlite::Result<Option<i64>> {
    c.prepare_cached(
        "SELECT approval_expires FROM tasks INDEXED BY tasks_to_approve WHERE approval = 'waiting'
         ORDER BY approval_expires LIMIT 1",
    )?
    .query_row([], |row| row.get(0))
    .optional()
}
