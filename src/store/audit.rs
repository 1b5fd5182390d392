//! The audit trail: written in the transaction of what it tells of, and never changed. Each record
//! has a MAC over itself and the one before, so that none can be changed or taken out unseen by
//! whoever does not have the key.

use super::fault::Fault;
use crate::domain::{AuditHead, By, Error, Secret};
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::Sha256;
use std::path::PathBuf;

/// What is put on record beside a change of the store, or without one.
#[derive(Debug, Clone)]
pub struct Note {
    /// Who, from where and when.
    pub by: By,
    /// A noun and a verb.
    pub action: &'static str,
    /// A noun and an id.
    pub object: String,
    /// How many such acts it stands for.
    pub count: i64,
    /// A JSON object.
    pub detail: serde_json::Value,
}

/// What the trail needs that lies outside of the store.
#[derive(Debug, Clone)]
pub struct Trail {
    /// What its MACs are made with.
    pub key: Secret,
    /// The file that says where it ends.
    pub anchor: PathBuf,
}

/// The function that makes MACs, on connections that write.
const MAC: &str = "audit_mac";

/// What somebody did.
pub(super) struct Act<'a> {
    /// A noun and a verb, such as `host_key.approve`.
    pub action: &'a str,
    /// A noun and an id, such as `instance/3`.
    pub object: String,
    /// A JSON object.
    pub detail: serde_json::Value,
}

/// Gives a connection the key, so that it can append.
pub(super) fn unlock(c: &Connection, key: Secret) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    c.create_scalar_function(MAC, -1, flags, move |context| {
        let values = (0..context.len()).map(|place| context.get_raw(place));
        Ok(mac(&key, values))
    })
}

/// HMAC-SHA256 (RFC 2104) over all values, each with its type and its length before it.
pub(super) fn mac<'a>(key: &Secret, values: impl Iterator<Item = ValueRef<'a>>) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    let mut take = |kind: u8, bytes: &[u8]| {
        mac.update(&[kind]);
        mac.update(&(bytes.len() as u64).to_be_bytes());
        mac.update(bytes);
    };
    for value in values {
        match value {
            ValueRef::Null => take(0, &[]),
            ValueRef::Integer(number) => take(1, &number.to_be_bytes()),
            ValueRef::Real(number) => take(2, &number.to_be_bytes()),
            ValueRef::Text(text) => take(3, text),
            ValueRef::Blob(bytes) => take(4, bytes),
        }
    }
    mac.finalize().into_bytes().to_vec()
}

/// The last record.
pub(super) fn head(c: &Connection) -> rusqlite::Result<Option<AuditHead>> {
    c.prepare_cached("SELECT n, mac FROM audit ORDER BY n DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(AuditHead {
                n: row.get(0)?,
                mac: row.get(1)?,
            })
        })
        .optional()
}

/// Whether this is a record of the trail.
pub(super) fn holds(c: &Connection, it: &AuditHead) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM audit WHERE n = ?1 AND mac = ?2)")?
        .query_row(params![it.n, it.mac], |row| row.get(0))
}

/// Appends a record.
///
/// # Errors
/// `Unavailable` whatever hinders it: what cannot be put on record is not done.
pub(super) fn append(c: &Connection, by: &By, act: Act) -> Result<(), Fault> {
    append_counted(c, by, act, 1)
}

/// As [`append`], for so many acts.
pub(super) fn append_counted(c: &Connection, by: &By, act: Act, count: i64) -> Result<(), Fault> {
    let action = act.action.to_owned();
    let acts = u64::try_from(count).unwrap_or_default();
    metrics::counter!("wsexec_acts_total", "action" => action).increment(acts);
    insert(c, by, act, count).map_err(|error| {
        let detail = "This cannot be put on record now, and so is not done. Try again later.";
        Error::unavailable(detail, 5).caused_by(error).into()
    })
}

fn insert(c: &Connection, by: &By, act: Act, count: i64) -> rusqlite::Result<()> {
    let (last, before) = end(c)?;
    let from = by.from.map(|it| it.to_string()).unwrap_or_default();
    c.prepare_cached(
        r#"INSERT INTO audit (n, at, by, via, "from", action, object, count, detail, mac)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                   audit_mac(?10, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))"#,
    )?
    .execute(params![
        last + 1,
        by.at,
        by.name,
        via(by),
        from,
        act.action,
        act.object,
        count,
        act.detail.to_string(),
        before,
    ])?;
    Ok(())
}

/// Who is not logged in yet uses no means.
fn via(by: &By) -> String {
    match (by.grant, by.from) {
        (None, Some(_)) => String::new(),
        _ => by.via().to_string(),
    }
}

/// The number and the MAC that the next record follows.
fn end(c: &Connection) -> rusqlite::Result<(i64, Vec<u8>)> {
    Ok(head(c)?.map(|it| (it.n, it.mac)).unwrap_or_default())
}

/// Gives what stood in the trail before it had MACs, and what was amended, MACs of their own, and
/// takes the old tables away.
pub(super) fn seal(c: &mut Connection) -> rusqlite::Result<()> {
    let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'audit_before')";
    if !transaction.query_row(is_there, [], |row| row.get(0))? {
        return Ok(());
    }
    {
        let mut old = transaction.prepare(
            "SELECT at, by, action, object, detail FROM (
                 SELECT at, by, action, object, detail, id FROM audit_before
                 UNION ALL
                 SELECT at, by, 'task.amend', 'task/' || task,
                        json_object('old', json_object(field, old)), id FROM amendments_before)
             ORDER BY at, id",
        )?;
        let mut rows = old.query([])?;
        while let Some(row) = rows.next()? {
            let (last, before) = end(&transaction)?;
            let act: [String; 4] = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            let [by, action, object, detail] = act;
            transaction.execute(
                r#"INSERT INTO audit (n, at, by, via, "from", action, object, count, detail, mac)
                   VALUES (?1, ?2, ?3, '', '', ?4, ?5, 1, ?6,
                           audit_mac(?7, ?1, ?2, ?3, '', '', ?4, ?5, 1, ?6))"#,
                params![
                    last + 1,
                    row.get::<_, i64>(0)?,
                    by,
                    action,
                    object,
                    detail,
                    before
                ],
            )?;
        }
    }
    transaction.execute_batch("DROP TABLE audit_before; DROP TABLE amendments_before")?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate::migrate;

    #[test]
    fn what_is_in_the_trail_neither_changes_nor_goes() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate(&mut c).unwrap();
        unlock(&c, Secret::new("k")).unwrap();
        let act = Act {
            action: "host_key.approve",
            object: "instance/1".into(),
            detail: serde_json::json!({}),
        };
        assert!(append(&c, &By::server(1), act).is_ok());
        for attempt in ["UPDATE audit SET by = 'x'", "DELETE FROM audit"] {
            let refused = c.execute(attempt, []).unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
    }
}
