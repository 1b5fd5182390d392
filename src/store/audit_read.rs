//! Reading the audit trail, and finding out whether it is what was written.

use super::anchor::Anchor;
use super::audit::{Act, Note, Trail};
use super::audit_verify::{Raw, Verifier};
use super::check::unchanged;
use super::conditions::Conditions;
use super::{OpenError, Store, audit, connect, migrate};
use crate::domain::{AuditFilter, AuditHead, AuditRecord, AuditVerdict, Page, Result, Secret};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, params};
use std::path::Path;

const COLUMNS: &str = r#"n, at, by, via, "from", action, object, count, detail, mac"#;
/// With the name for the number that every list goes by.
const TABLE: &str = "(SELECT n AS id, * FROM audit)";
/// Records of one short read.
const BATCH: i64 = 1000;

/// What somebody has changed in the store must not hide the rest of it.
fn text(row: &Row, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => String::new(),
    })
}

fn bytes<'a>(row: &'a Row, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    })
}

fn record(row: &Row) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        n: row.get(0)?,
        at: row.get(1)?,
        by: text(row, 2)?,
        via: text(row, 3)?,
        from: text(row, 4)?,
        action: text(row, 5)?,
        object: text(row, 6)?,
        count: row.get(7)?,
        detail: text(row, 8)?,
        mac: bytes(row, 9)?.to_vec(),
    })
}

fn conditions(filter: AuditFilter, page: Page) -> Conditions {
    let mut conditions = Conditions::page(page);
    conditions.equal("by", filter.by);
    conditions.equal("object", filter.object);
    if let Some(action) = filter.action {
        match action.strip_suffix('*') {
            Some(begin) => conditions.hold("instr(action, ?) = 1", begin.to_owned()),
            None => conditions.equal("action", Some(action)),
        }
    }
    if let Some(since) = filter.since {
        conditions.hold("at >= ?", since);
    }
    if let Some(until) = filter.until {
        conditions.hold("at < ?", until);
    }
    conditions
}

/// Looks at the records after this one, in short reads.
pub(super) fn look(
    c: &Connection,
    mut after: i64,
    verifier: &mut Verifier,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE n > ?1 ORDER BY n LIMIT ?2");
    let mut statement = c.prepare(&sql)?;
    loop {
        let mut rows = statement.query(params![after, BATCH])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let mut values = [ValueRef::Null; 9];
            for (column, value) in values.iter_mut().enumerate() {
                *value = row.get_ref(column)?;
            }
            after = row.get(0)?;
            verifier.look_raw(&Raw {
                n: after,
                values,
                mac: bytes(row, 9)?,
            });
            seen += 1;
        }
        if seen < BATCH {
            return Ok(());
        }
    }
}

/// Whether the last records of a trail are by this key, and those that the anchor knows are there.
///
/// # Errors
/// The sentence that says what is wrong and what to do.
pub(super) fn judge_end(
    c: &Connection,
    key: &Secret,
    anchored: Option<&AuditHead>,
) -> rusqlite::Result<Result<(), String>> {
    let last = audit::head(c)?.map_or(0, |head| head.n);
    let mut verifier = match last > BATCH {
        true => Verifier::part(key.clone(), anchored.cloned()),
        false => Verifier::new(key.clone(), anchored.cloned()),
    };
    look(
        c,
        if last > BATCH { last - BATCH } else { i64::MIN },
        &mut verifier,
    )?;
    let verdict = verifier.finish();
    let mut faults = verdict.faults.iter().map(ToString::to_string);
    let wrong = match (faults.next(), anchored) {
        (Some(fault), _) => Some(fault),
        (None, Some(anchor)) if !audit::holds(c, anchor)? => Some(format!(
            "record {} is not the one that the anchor knows",
            anchor.n
        )),
        (None, _) => None,
    };
    Ok(wrong.map_or(Ok(()), Err))
}

impl Store {
    /// A page of the audit trail, in the page's order.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn audit(&self, filter: AuditFilter, page: Page) -> Result<Vec<AuditRecord>> {
        let conditions = conditions(filter, page);
        self.read(move |c| conditions.select(c, COLUMNS, TABLE, record))
            .await
    }

    /// Puts acts on record that change nothing else in the store.
    ///
    /// # Errors
    /// `Unavailable`: none of them is on record.
    pub async fn note(&self, notes: Vec<Note>) -> Result<()> {
        self.write(move |c| {
            for it in notes {
                let act = Act {
                    action: it.action,
                    object: it.object,
                    detail: it.detail,
                };
                audit::append_counted(c, &it.by, act, it.count)?;
            }
            Ok(())
        })
        .await
    }

    /// Where the audit trail ends.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn audit_head(&self) -> Result<Option<AuditHead>> {
        self.read(audit::head).await
    }

    /// Whether a data directory holds an audit trail with a record in it. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn has_trail(dir: &Path) -> Result<bool, OpenError> {
        match AuditReader::open(dir) {
            Ok(reader) => Ok(audit::head(&reader.connection)?.is_some()),
            Err(OpenError::NoTrail) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The audit trail of a data directory, read only, also beside a running server. All of it blocks.
pub struct AuditReader {
    connection: Connection,
}

impl AuditReader {
    /// Opens the store of a data directory; makes and changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::NoTrail`] where there is none yet.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("wsexec.db");
        if !path.metadata().is_ok_and(|file| file.len() > 0) {
            return Err(OpenError::NoTrail);
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(&path), read_only)?;
        match migrate::check(&connection)? {
            true => Ok(Self { connection }),
            false => Err(OpenError::NoTrail),
        }
    }

    /// Of a store whose schema is this program's.
    pub(super) fn of(connection: Connection) -> Self {
        Self { connection }
    }

    /// One part of it, in the page's order.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn records(&self, filter: AuditFilter, page: Page) -> Result<Vec<AuditRecord>, OpenError> {
        let rows = conditions(filter, page).select(&self.connection, COLUMNS, TABLE, record);
        Ok(rows?)
    }

    /// Looks at all of it.
    ///
    /// # Errors
    /// Where the anchor cannot be read, and those of SQLite.
    pub fn verify(&self, trail: &Trail) -> Result<AuditVerdict, OpenError> {
        // Read first: it is never ahead of the trail.
        let anchor = Anchor::peek(&trail.anchor).map_err(|cause| OpenError::Anchor {
            path: trail.anchor.clone(),
            cause,
        })?;
        let mut verifier = Verifier::new(trail.key.clone(), anchor);
        look(&self.connection, i64::MIN, &mut verifier)?;
        Ok(verifier.finish())
    }
}
