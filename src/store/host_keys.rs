use super::access;
use super::audit::{self, Act};
use super::fault::Fault;
use super::{Store, instances};
use crate::domain::{
    By, Error, HostKey, HostKeyAct, HostKeyDecision, HostKeyEvent, HostKeyRecord, IfMatch,
    Instance, InstanceId, Result, RevokedKey, ShownKey,
};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

/// What an entry of the audit trail tells of an act, as JSON.
#[derive(Serialize, Deserialize)]
struct Detail {
    fingerprint: Option<String>,
    on_record: Option<String>,
    shown: Option<String>,
}

fn object(id: InstanceId) -> String {
    format!("instance/{id}")
}

/// Writes an act into the audit trail; `before` is the instance as it was.
fn note(
    c: &Connection,
    before: &Instance,
    act: HostKeyAct,
    fingerprint: Option<&str>,
    by: &By,
) -> Result<(), Fault> {
    let of = |key: &HostKey| key.fingerprint.clone();
    let detail = Detail {
        fingerprint: fingerprint.map(str::to_owned),
        on_record: before.host_key.as_ref().map(of),
        shown: before.shown_key.as_ref().map(|shown| of(&shown.key)),
    };
    let action = format!("host_key.{}", act.as_str());
    let act = Act {
        action: &action,
        object: object(before.id),
        detail: serde_json::to_value(&detail).map_err(Error::internal)?,
    };
    audit::append(c, by, act)
}

fn event(row: &Row) -> rusqlite::Result<HostKeyEvent> {
    let wrong = |column, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
    };
    let action: String = row.get(2)?;
    let act = action
        .strip_prefix("host_key.")
        .and_then(HostKeyAct::parse)
        .ok_or_else(|| super::rows::unknown_word(2, action))?;
    let detail: String = row.get(3)?;
    let detail: Detail = serde_json::from_str(&detail).map_err(|error| wrong(3, error.into()))?;
    Ok(HostKeyEvent {
        at: row.get(0)?,
        by: row.get(1)?,
        act,
        fingerprint: detail.fingerprint,
        on_record: detail.on_record,
        shown: detail.shown,
    })
}

/// Newest first.
fn history(c: &Connection, id: InstanceId) -> rusqlite::Result<Vec<HostKeyEvent>> {
    c.prepare_cached(
        "SELECT at, by, action, detail FROM audit
         WHERE object = ?1 AND action GLOB 'host_key.*' ORDER BY n DESC LIMIT ?2",
    )?
    .query_map(params![object(id), HostKeyRecord::HISTORY], event)?
    .collect()
}

/// The keys that an instance may never have, oldest first.
pub(super) fn revoked(c: &Connection, id: InstanceId) -> rusqlite::Result<Vec<RevokedKey>> {
    c.prepare_cached(
        "SELECT fingerprint, at, by FROM revoked_host_keys WHERE instance = ?1 ORDER BY at, fingerprint",
    )?
    .query_map([id.0], |row| {
        Ok(RevokedKey {
            fingerprint: row.get(0)?,
            at: row.get(1)?,
            by: row.get(2)?,
        })
    })?
    .collect()
}

/// Forgets what was revoked of an instance that is another machine now, and notes that all was
/// forgotten, where there was anything.
pub(super) fn forget(c: &Connection, before: &Instance, by: &By) -> Result<(), Fault> {
    let revoked = c
        .prepare_cached("DELETE FROM revoked_host_keys WHERE instance = ?1")?
        .execute([before.id.0])?;
    if revoked == 0 && before.host_key.is_none() && before.shown_key.is_none() {
        return Ok(());
    }
    note(c, before, HostKeyAct::Forget, None, by)
}

fn record(c: &Connection, instance: Instance) -> rusqlite::Result<HostKeyRecord> {
    Ok(HostKeyRecord {
        revoked: revoked(c, instance.id)?,
        history: history(c, instance.id)?,
        instance,
    })
}

/// The key that was shown, where it is the one that the caller means and may be trusted.
fn shown_as(it: &Instance, fingerprint: &str, revoked: &[RevokedKey]) -> Result<HostKey> {
    if let Some(key) = revoked.iter().find(|key| key.fingerprint == fingerprint) {
        return Err(Error::conflict(format!(
            "The key {fingerprint} was revoked here by {} and cannot be trusted again. Give the \
             machine a new host key.",
            key.by
        )));
    }
    if let Some(key) = &it.host_key
        && key.fingerprint == fingerprint
    {
        return Err(Error::conflict(format!(
            "The key {fingerprint} is the one on record already."
        )));
    }
    match &it.shown_key {
        Some(shown) if shown.key.fingerprint == fingerprint => Ok(shown.key.clone()),
        Some(shown) => Err(Error::conflict(format!(
            "fingerprint: the key that the machine has shown is {}, not {fingerprint}. Compare it \
             with the machine's own, then name that one.",
            shown.key.fingerprint
        ))),
        None => Err(Error::conflict(
            "The machine has shown no key that is not trusted: run the check first.",
        )),
    }
}

/// Carries out a decision on an instance, except for the audit trail.
fn decide(
    c: &Connection,
    it: &mut Instance,
    decision: HostKeyDecision,
    fingerprint: &str,
    by: &By,
) -> Result<(), Fault> {
    let revoked = revoked(c, it.id)?;
    match decision {
        HostKeyDecision::Approve | HostKeyDecision::Replace => {
            let key = shown_as(it, fingerprint, &revoked)?;
            match (decision, &it.host_key) {
                (HostKeyDecision::Approve, Some(on_record)) => {
                    return Err(Error::conflict(format!(
                        "The key {} is on record. Use replace to trust another one instead.",
                        on_record.fingerprint
                    ))
                    .into());
                }
                (HostKeyDecision::Replace, None) => {
                    return Err(Error::conflict(
                        "No key is on record that could be replaced. Use approve.",
                    )
                    .into());
                }
                _ => {}
            }
            it.host_key = Some(key);
            it.shown_key = None;
        }
        HostKeyDecision::Revoke => {
            if revoked.len() >= HostKeyRecord::REVOKED {
                return Err(Error::conflict(format!(
                    "{} keys of this instance are revoked already. Remove it and declare it again.",
                    revoked.len()
                ))
                .into());
            }
            c.prepare_cached(
                "INSERT INTO revoked_host_keys (instance, fingerprint, at, by) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![it.id.0, fingerprint, by.at, by.name])?;
        }
    }
    it.version += 1;
    instances::put(c, it)?;
    Ok(())
}

impl Store {
    /// All that is known of the host key of an instance.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn host_key(&self, id: InstanceId) -> Result<Option<HostKeyRecord>> {
        self.read(move |c| {
            instances::get(c, id)?
                .map(|instance| record(c, instance))
                .transpose()
        })
        .await
    }

    /// Carries out a decision about a host key, and notes it in the audit trail. None where there
    /// is no such instance. A key that is revoked already stays as it is.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` where the fingerprint is not that of the key that was
    /// shown, or what is on record does not allow the decision.
    pub async fn decide_host_key(
        &self,
        id: InstanceId,
        (decision, fingerprint): (HostKeyDecision, String),
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<Option<HostKeyRecord>> {
        self.act(by, move |c, by| {
            let Some(mut it) = access::seen(&by.scopes, instances::get(c, id)?) else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), it.version)?;
            let is_done = decision == HostKeyDecision::Revoke
                && revoked(c, id)?
                    .iter()
                    .any(|it| it.fingerprint == fingerprint);
            if !is_done {
                let before = it.clone();
                decide(c, &mut it, decision, &fingerprint, by)?;
                let act = HostKeyAct::from(decision);
                note(c, &before, act, Some(&fingerprint), by)?;
            }
            let now = instances::get(c, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(Some(record(c, now)?))
        })
        .await
    }

    /// Records the first key that an instance has shown and proved to hold, if it still is the
    /// machine at that address and has none. Gives the key on record afterwards, which is another
    /// one where somebody was faster, and none where the instance is now another machine, or the
    /// key was revoked meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn pin_host_key(
        &self,
        seen: &Instance,
        key: HostKey,
        now: i64,
    ) -> Result<Option<HostKey>> {
        let seen = seen.clone();
        self.write(move |c| {
            let Some(mut it) = instances::get(c, seen.id)? else {
                return Ok(None);
            };
            let is_revoked = || {
                revoked(c, seen.id)
                    .map(|all| all.iter().any(|it| it.fingerprint == key.fingerprint))
            };
            if !it.is_same_machine(&seen) || is_revoked()? {
                return Ok(None);
            }
            if it.host_key.is_none() {
                let by = By::server(now);
                note(c, &it, HostKeyAct::Record, Some(&key.fingerprint), &by)?;
                it.host_key = Some(key);
                it.shown_key = None;
                it.version += 1;
                instances::put(c, &it)?;
            }
            Ok(it.host_key)
        })
        .await
    }

    /// Notes the key that an instance has shown and proved to hold and that was not trusted; with
    /// none, that it has shown a trusted one since. Nothing where it is another machine by now, or
    /// the key has come to be trusted meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_shown_key(&self, seen: &Instance, shown: Option<ShownKey>) -> Result<()> {
        let seen = seen.clone();
        self.write(move |c| {
            let Some(mut it) = instances::get(c, seen.id)? else {
                return Ok(());
            };
            // What is on record now is not what the verdict stood on.
            if !it.is_same_machine(&seen) || it.host_key != seen.host_key {
                return Ok(());
            }
            it.shown_key = shown;
            Ok(instances::put(c, &it)?)
        })
        .await
    }
}
