use super::Store;
use super::access;
use super::audit::{self, Act};
use super::conditions::Conditions;
use super::fault::Fault;
use super::idempotency::{self, Scope};
use super::rows::unknown_word;
use super::{health, host_keys, identities, jumps};
use crate::domain::{
    ApprovalRules, By, Error, HostKey, Idempotency, IfMatch, Instance, InstanceChange,
    InstanceFilter, InstanceId, InstanceState, Kind, Labels, Mode, NewInstance, Page, Result,
    Scopes, ShownKey,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

const COLUMNS: &str = "id, ip, tag, state, port, version, jump, jump_user, mode,
     host_key_algorithm, host_key_base64, host_key_fingerprint,
     shown_algorithm, shown_base64, shown_fingerprint, shown_at,
     EXISTS (SELECT 1 FROM revoked_host_keys r WHERE r.instance = instances.id
             AND r.fingerprint = coalesce(host_key_fingerprint, shown_fingerprint)),
     labels, identity, approval";
const TABLE: &str =
    "instances LEFT JOIN instance_health ON instance_health.instance = instances.id";
/// Where the columns of the health begin.
const HEALTH: usize = 20;

fn columns() -> String {
    format!("{COLUMNS}, {}", health::COLUMNS)
}

/// A key in three columns, all of them null where there is none.
fn key(row: &Row, first: usize) -> rusqlite::Result<Option<HostKey>> {
    let Some(algorithm) = row.get(first)? else {
        return Ok(None);
    };
    Ok(Some(HostKey {
        algorithm,
        base64: row.get(first + 1)?,
        fingerprint: row.get(first + 2)?,
    }))
}

fn instance(row: &Row) -> rusqlite::Result<Instance> {
    let state: String = row.get(3)?;
    let mode: String = row.get(8)?;
    let shown_at: Option<i64> = row.get(15)?;
    let shown_key = key(row, 12)?.zip(shown_at);
    Ok(Instance {
        id: InstanceId(row.get(0)?),
        ip: row.get(1)?,
        tag: row.get(2)?,
        state: InstanceState::parse(&state).ok_or_else(|| unknown_word(3, state))?,
        port: row.get(4)?,
        version: row.get(5)?,
        jump: row.get::<_, Option<i64>>(6)?.map(InstanceId),
        jump_user: row.get(7)?,
        mode: Mode::parse(&mode).ok_or_else(|| unknown_word(8, mode))?,
        host_key: key(row, 9)?,
        shown_key: shown_key.map(|(key, at)| ShownKey { key, at }),
        host_key_revoked: row.get(16)?,
        labels: labels(row, 17)?,
        identity: row.get(18)?,
        approval: row.get(19)?,
        health: health::row(row, HEALTH)?,
    })
}

/// A JSON object.
pub(super) fn labels(row: &Row, column: usize) -> rusqlite::Result<Labels> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

fn labels_text(labels: &Labels) -> String {
    serde_json::json!(labels).to_string()
}

fn object(id: InstanceId) -> String {
    format!("instance/{id}")
}

/// What the audit trail says of an instance.
fn told(it: &Instance) -> serde_json::Value {
    json!({
        "ip": it.ip, "port": it.port, "tag": it.tag, "state": it.state.as_str(),
        "labels": it.labels, "identity": it.identity, "approval": it.approval,
        "jump": it.jump.map(|id| id.0), "jump_user": it.jump_user, "mode": it.mode.as_str(),
    })
}

/// One instance, inside whatever transaction the connection is in.
pub(super) fn get(c: &Connection, id: InstanceId) -> rusqlite::Result<Option<Instance>> {
    let columns = columns();
    c.prepare_cached(&format!("SELECT {columns} FROM {TABLE} WHERE id = ?1"))?
        .query_row([id.0], instance)
        .optional()
}

/// Writes all but the health.
pub(super) fn put(c: &Connection, it: &Instance) -> rusqlite::Result<()> {
    let key = it.host_key.as_ref();
    let shown = it.shown_key.as_ref();
    c.prepare_cached(
        "UPDATE instances SET ip = ?2, tag = ?3, state = ?4, port = ?5, host_key_algorithm = ?6,
         host_key_base64 = ?7, host_key_fingerprint = ?8, version = ?9, jump = ?10, jump_user = ?11,
         shown_algorithm = ?12, shown_base64 = ?13, shown_fingerprint = ?14, shown_at = ?15,
         mode = ?16, labels = ?17, identity = ?18, approval = ?19 WHERE id = ?1",
    )?
    .execute(params![
        it.id.0,
        it.ip,
        it.tag,
        it.state.as_str(),
        it.port,
        key.map(|k| &k.algorithm),
        key.map(|k| &k.base64),
        key.map(|k| &k.fingerprint),
        it.version,
        it.jump.map(|id| id.0),
        it.jump_user,
        shown.map(|s| &s.key.algorithm),
        shown.map(|s| &s.key.base64),
        shown.map(|s| &s.key.fingerprint),
        shown.map(|s| s.at),
        it.mode.as_str(),
        labels_text(&it.labels),
        it.identity,
        it.approval
    ])?;
    Ok(())
}

/// Nobody declares or moves an instance out of their own sight.
fn require_scope(by: &By, it: &Instance) -> Result<(), Fault> {
    match by.scopes.see(it.into()) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Forbidden,
            "Your scope does not hold such an instance.",
        )
        .into()),
    }
}

/// Who changes or removes an instance, and which rules about a second person they have to keep;
/// none where they may loosen them.
#[derive(Debug, Clone)]
pub struct ByLaw {
    /// Who.
    pub by: By,
    /// What must need a second person as before.
    pub keeps: Option<ApprovalRules>,
}

fn guarded(what: &str) -> Error {
    Error::new(
        Kind::Forbidden,
        format!(
            "Tasks on this instance need a second person, and this {what} would let them do \
             without: an administrator has to do it."
        ),
    )
}

fn has_unfinished(c: &Connection, id: InstanceId) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE instance = ?1 AND state = 'INIT')
             OR EXISTS (SELECT 1 FROM tasks WHERE instance = ?1 AND state = 'CURRENT')",
    )?
    .query_row([id.0], |row| row.get(0))
}

/// Whether something runs there that only this address leads to: what a detached run is known by is
/// asked for wherever its machine moves to.
fn is_needed_there(c: &Connection, id: InstanceId) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE instance = ?1 AND state = 'CURRENT'
                        AND (mode = 'attached' OR process_pid IS NULL))",
    )?
    .query_row([id.0], |row| row.get(0))
}

impl Store {
    /// A page of the instances, in the page's order.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn instances(
        &self,
        filter: &InstanceFilter,
        scopes: &Scopes,
        page: Page,
    ) -> Result<Vec<Instance>> {
        let mut conditions = Conditions::page(page);
        if !scopes.are_everything() {
            conditions.hold("sees(?, instances.id, ip, labels)", scopes.to_string());
        }
        conditions.equal("state", filter.state.map(InstanceState::as_str));
        conditions.equal("tag", filter.tag.clone());
        conditions.equal("ip", filter.ip.clone());
        for (key, value) in &filter.labels {
            let label = json!([key, value]).to_string();
            conditions.hold(
                "EXISTS (SELECT 1 FROM json_each(labels) l WHERE json_array(l.key, l.value) = ?)",
                label,
            );
        }
        conditions.contains(&["ip", "tag"], filter.q.as_deref());
        self.read(move |c| conditions.select(c, &columns(), TABLE, instance))
            .await
    }

    /// One instance, where these scopes see it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn seen_instance(&self, id: InstanceId, scopes: Scopes) -> Result<Option<Instance>> {
        let found = self.instance(id).await?;
        Ok(access::seen(&scopes, found))
    }

    /// One instance.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn instance(&self, id: InstanceId) -> Result<Option<Instance>> {
        self.read(move |c| get(c, id)).await
    }

    /// Declares an instance, or finds what the same key declared before.
    ///
    /// # Errors
    /// `KeyReused`; `NotFound` for a jump that is not there; `Conflict` where the way would be too
    /// long, or what the key declared is gone.
    pub async fn create_instance(
        &self,
        new: NewInstance,
        key: Option<Idempotency>,
        by: By,
    ) -> Result<Instance> {
        self.act(by, move |c, by| {
            let scope = key.as_ref().map(|key| Scope {
                user: by.key_owner(),
                route: "instances",
                key,
            });
            if let Some(scope) = &scope
                && let Some(made) = idempotency::find(c, scope, by.at)?
            {
                let made = get(c, InstanceId(made))?.ok_or_else(|| {
                    Error::conflict("The instance that this Idempotency-Key made was removed.")
                })?;
                require_scope(by, &made)?;
                return Ok(made);
            }
            jumps::check(c, by, None, new.jump)?;
            identities::require_key(c, new.identity.as_deref())?;
            c.prepare_cached(
                "INSERT INTO instances (ip, tag, state, port, jump, jump_user, mode, labels, identity,
                 approval, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1)",
            )?
            .execute(params![
                new.ip,
                new.tag,
                new.state.as_str(),
                new.port,
                new.jump.map(|id| id.0),
                new.jump_user,
                new.mode.as_str(),
                labels_text(&new.labels),
                new.identity,
                new.approval
            ])?;
            let id = c.last_insert_rowid();
            if let Some(scope) = &scope {
                idempotency::remember(c, scope, id, by.at)?;
            }
            let made = get(c, InstanceId(id))?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            require_scope(by, &made)?;
            let act = Act {
                action: "instance.create",
                object: object(made.id),
                detail: told(&made),
            };
            audit::append(c, by, act)?;
            Ok(made)
        })
        .await
    }

    /// Changes an instance; none where there is no such one. What is another machine then is
    /// nothing known of.
    ///
    /// # Errors
    /// `Invalid`, `PreconditionFailed`; `NotFound` for a jump that is not there; `Conflict` for a
    /// way that comes back or is too long, and for another machine while a task runs on this one.
    pub async fn change_instance(
        &self,
        id: InstanceId,
        change: InstanceChange,
        if_match: Option<IfMatch>,
        by: ByLaw,
    ) -> Result<Option<Instance>> {
        let ByLaw { by, keeps } = by;
        self.act(by, move |c, by| {
            let Some(old) = access::seen(&by.scopes, get(c, id)?) else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            let new = change.apply(&old)?;
            require_scope(by, &new)?;
            if keeps.is_some_and(|rules| rules.loosened(&old, &new)) {
                return Err(guarded("change").into());
            }
            if new.identity != old.identity {
                identities::require_key(c, new.identity.as_deref())?;
            }
            if new.jump != old.jump {
                jumps::check(c, by, Some(id), new.jump)?;
            }
            if !new.is_same_machine(&old) {
                // Another machine would be asked what became of it, and know nothing.
                if is_needed_there(c, id)? {
                    return Err(Error::conflict(
                        "A task runs on this instance, so that its ip and port have to stay. Cancel it or wait for its \
                         end, then change them.",
                    )
                    .into());
                }
                host_keys::forget(c, &old, by)?;
                health::forget(c, id)?;
            }
            if new != old {
                let detail = json!({"old": told(&old), "new": told(&new)});
                let act = Act { action: "instance.change", object: object(id), detail };
                audit::append(c, by, act)?;
                put(c, &new)?;
            }
            Ok(Some(new))
        })
        .await
    }

    /// Removes an instance. False where there is no such one.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` while a task there has not ended, or others are reached
    /// through it.
    pub async fn remove_instance(
        &self,
        id: InstanceId,
        if_match: Option<IfMatch>,
        by: ByLaw,
    ) -> Result<bool> {
        let ByLaw { by, keeps } = by;
        self.act(by, move |c, by| {
            let Some(old) = access::seen(&by.scopes, get(c, id)?) else {
                return Ok(false);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            if keeps.is_some_and(|rules| rules.guard(&old)) {
                return Err(guarded("removal").into());
            }
            if has_unfinished(c, id)? {
                return Err(Error::conflict(
                    "Tasks on this instance have not ended. Cancel them or wait, then remove it.",
                )
                .into());
            }
            jumps::require_unused(c, by, id)?;
            let act = Act {
                action: "instance.remove",
                object: object(id),
                detail: told(&old),
            };
            audit::append(c, by, act)?;
            c.prepare_cached("DELETE FROM instances WHERE id = ?1")?
                .execute([id.0])?;
            Ok(true)
        })
        .await
    }
}
