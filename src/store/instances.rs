use super::Store;
use super::conditions::Conditions;
use super::fault::Fault;
use super::idempotency::{self, Scope};
use super::rows::unknown_word;
use crate::domain::{
    Error, HostKey, Idempotency, IfMatch, Instance, InstanceChange, InstanceFilter, InstanceId,
    InstanceState, NewInstance, Page, Result,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str =
    "id, ip, tag, state, port, host_key_algorithm, host_key_base64, host_key_fingerprint, version";

fn instance(row: &Row) -> rusqlite::Result<Instance> {
    let state: String = row.get(3)?;
    let algorithm: Option<String> = row.get(5)?;
    let host_key = match algorithm {
        Some(algorithm) => Some(HostKey {
            algorithm,
            base64: row.get(6)?,
            fingerprint: row.get(7)?,
        }),
        None => None,
    };
    Ok(Instance {
        id: InstanceId(row.get(0)?),
        ip: row.get(1)?,
        tag: row.get(2)?,
        state: InstanceState::parse(&state).ok_or_else(|| unknown_word(3, state))?,
        port: row.get(4)?,
        host_key,
        version: row.get(8)?,
    })
}

/// One instance, inside whatever transaction the connection is in.
pub(super) fn get(c: &Connection, id: InstanceId) -> rusqlite::Result<Option<Instance>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM instances WHERE id = ?1"))?
        .query_row([id.0], instance)
        .optional()
}

fn put(c: &Connection, it: &Instance) -> rusqlite::Result<()> {
    let key = it.host_key.as_ref();
    c.prepare_cached(
        "UPDATE instances SET ip = ?2, tag = ?3, state = ?4, port = ?5, host_key_algorithm = ?6,
         host_key_base64 = ?7, host_key_fingerprint = ?8, version = ?9 WHERE id = ?1",
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
        it.version
    ])?;
    Ok(())
}

fn has_unfinished(c: &Connection, id: InstanceId) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE instance = ?1 AND state = 'INIT')
             OR EXISTS (SELECT 1 FROM tasks WHERE instance = ?1 AND state = 'CURRENT')",
    )?
    .query_row([id.0], |row| row.get(0))
}

impl Store {
    /// A page of the instances, in the page's order.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn instances(&self, filter: &InstanceFilter, page: Page) -> Result<Vec<Instance>> {
        let mut conditions = Conditions::page(page);
        conditions.equal("state", filter.state.map(InstanceState::as_str));
        conditions.equal("tag", filter.tag.clone());
        conditions.equal("ip", filter.ip.clone());
        conditions.contains(&["ip", "tag"], filter.q.as_deref());
        self.read(move |c| conditions.select(c, COLUMNS, "instances", instance))
            .await
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
    /// `KeyReused`; `Conflict` where what the key declared is gone.
    pub async fn create_instance(
        &self,
        new: NewInstance,
        key: Option<Idempotency>,
        user: i64,
        now: i64,
    ) -> Result<Instance> {
        self.write(move |c| {
            let scope = key.as_ref().map(|key| Scope {
                user,
                route: "instances",
                key,
            });
            if let Some(scope) = &scope
                && let Some(made) = idempotency::find(c, scope, now)?
            {
                return get(c, InstanceId(made))?.ok_or_else(|| {
                    Fault::Domain(Error::conflict(
                        "The instance that this Idempotency-Key made was removed.",
                    ))
                });
            }
            c.prepare_cached(
                "INSERT INTO instances (ip, tag, state, port, version) VALUES (?1, ?2, ?3, ?4, 1)",
            )?
            .execute(params![new.ip, new.tag, new.state.as_str(), new.port])?;
            let id = c.last_insert_rowid();
            if let Some(scope) = &scope {
                idempotency::remember(c, scope, id, now)?;
            }
            Ok(Instance {
                id: InstanceId(id),
                ip: new.ip,
                tag: new.tag,
                state: new.state,
                port: new.port,
                host_key: None,
                version: 1,
            })
        })
        .await
    }

    /// Changes an instance; none where there is no such one.
    ///
    /// # Errors
    /// `Invalid`, `PreconditionFailed`.
    pub async fn change_instance(
        &self,
        id: InstanceId,
        change: InstanceChange,
        if_match: Option<IfMatch>,
    ) -> Result<Option<Instance>> {
        self.write(move |c| {
            let Some(old) = get(c, id)? else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            let new = change.apply(&old)?;
            if new != old {
                put(c, &new)?;
            }
            Ok(Some(new))
        })
        .await
    }

    /// Removes an instance. False where there is no such one.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` while a task there has not ended.
    pub async fn remove_instance(&self, id: InstanceId, if_match: Option<IfMatch>) -> Result<bool> {
        self.write(move |c| {
            let Some(old) = get(c, id)? else {
                return Ok(false);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            if has_unfinished(c, id)? {
                return Err(Error::conflict(
                    "Tasks on this instance have not ended. Cancel them or wait, then remove it.",
                )
                .into());
            }
            c.prepare_cached("DELETE FROM instances WHERE id = ?1")?
                .execute([id.0])?;
            Ok(true)
        })
        .await
    }

    /// Records the first key that an instance has shown and proved to hold, if it still is the
    /// machine at that address and has none. Gives the key on record afterwards, which is another
    /// one where somebody was faster, and none where the instance is now another machine.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn pin_host_key(&self, seen: &Instance, key: HostKey) -> Result<Option<HostKey>> {
        let seen = seen.clone();
        self.write(move |c| {
            let Some(mut it) = get(c, seen.id)? else {
                return Ok(None);
            };
            if it.ip != seen.ip || it.port != seen.port {
                return Ok(None);
            }
            if it.host_key.is_none() {
                it.host_key = Some(key);
                it.version += 1;
                put(c, &it)?;
            }
            Ok(it.host_key)
        })
        .await
    }
}
