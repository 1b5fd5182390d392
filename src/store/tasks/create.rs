//! How a new task is accepted: once for each idempotency key.

use super::{get, object};
use crate::domain::{
    ApprovalRules, Become, By, Error, Idempotency, InstanceState, Kind, NewTask, Result, Task,
    TaskId,
};
use crate::failpoint;
use crate::store::audit::{self, Act};
use crate::store::idempotency::{self, Scope};
use crate::store::{Store, access, approvals, instances, launch};
use rusqlite::{Connection, params};
use serde_json::json;
use sha2::{Digest, Sha256};

impl Store {
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
            failpoint::pass("post.before_commit");
            Ok((task, true))
        })
        .await
    }
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

/// What the audit trail knows a script by.
pub(in crate::store) fn script_hash(script: &str) -> String {
    let hash = Sha256::digest(script);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}
