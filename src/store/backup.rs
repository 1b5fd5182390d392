//! Copies of a store: made beside a running server, proved as a whole, and taken up again.

use super::audit_read::look;
use super::check::{unchanged, whole};
use super::{OpenError, Store, Verifier, audit, connect, migrate, tasks};
use crate::domain::{AuditVerdict, By, Ending, Outcome, Result, Secret, TaskId};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::path::Path;

/// What the record says of a task that waited when the copy was made.
const PERHAPS_RUN: &str = "It waited for its turn when the backup was made that this store was restored from. Whether \
    it has run since is not known, so it is not run now: post it again where it has not.";

/// A store as a file that nobody writes.
pub struct StoreFile {
    connection: Connection,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Users.
    pub users: i64,
    /// Instances.
    pub instances: i64,
    /// Tasks.
    pub tasks: i64,
    /// Identities.
    pub identities: i64,
    /// When the last task was posted, in Unix seconds.
    pub last_task: Option<i64>,
    /// Whether the audit trail is what was written; none for a store of an older program, which has
    /// to be brought up to date first.
    pub trail: Option<AuditVerdict>,
}

/// What was changed in a store that was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Tasks that waited, and were ended.
    pub tasks: i64,
    /// Sessions of the pages, which were ended.
    pub sessions: i64,
    /// API tokens that are good: one of them may have been revoked since.
    pub tokens: i64,
}

impl StoreFile {
    /// Opens it; makes and changes nothing. Blocks, as all of it does.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`] where it is no store, [`OpenError::Newer`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(path), read_only)?;
        let is_ours: bool = connection.query_row(
            "SELECT count(*) = 2 FROM sqlite_schema WHERE type = 'table' AND name IN ('tasks', 'audit')",
            [],
            |row| row.get(0),
        )?;
        match is_ours {
            true => Ok(Self { connection }),
            false => Err(OpenError::Damaged("it is no store of wsexec".into())),
        }
    }

    /// Reads all of it: each page, each index, each reference, each record of the audit trail.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] with the first thing that is wrong.
    pub fn prove(&self, key: &Secret) -> Result<Contents, OpenError> {
        let c = &self.connection;
        let current = migrate::check(c)?;
        whole(c, "integrity_check")?;
        let mut references = c.prepare("PRAGMA foreign_key_check")?;
        if let Some(row) = references.query([])?.next()? {
            let table: String = row.get(0)?;
            return Err(OpenError::Damaged(format!(
                "a row of {table} refers to nothing"
            )));
        }
        let count = |table: &str| {
            c.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
        };
        let trail = current.then(|| {
            let mut verifier = Verifier::new(key.clone(), None);
            look(c, i64::MIN, &mut verifier).map(|()| verifier.finish())
        });
        let trail = trail.transpose()?;
        if let Some(fault) = trail.as_ref().and_then(|it| it.faults.first()) {
            return Err(OpenError::Damaged(format!("its audit trail: {fault}")));
        }
        Ok(Contents {
            users: count("users")?,
            instances: count("instances")?,
            tasks: count("tasks")?,
            identities: if current { count("identities")? } else { 0 },
            last_task: c.query_row("SELECT max(created) FROM tasks", [], |row| row.get(0))?,
            trail,
        })
    }
}

/// Copies a store, as it stands at one moment, into a file that is there and empty.
pub(super) fn copy(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    connection.execute("VACUUM INTO ?1", [file.to_string_lossy()])?;
    Ok(())
}

impl Store {
    /// Copies the store of a data directory, as it stands at one moment, into a file that is there
    /// and empty; also beside a running server, which goes on meanwhile and whose log cannot shrink
    /// until the end. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn copy_to(dir: &Path, file: &Path) -> Result<(), OpenError> {
        let path = dir.join("wsexec.db");
        if !path.exists() {
            return Err(OpenError::NoTrail);
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(&path), read_only)?;
        copy(&connection, file)?;
        Ok(())
    }

    /// Makes a copy fit to be gone on with, and puts that on record. What has happened since it was
    /// made is not known: no waiting task is run, as it may have been, and nobody is logged in to
    /// the pages.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn settle_restored(&self, made: Option<i64>, now: i64) -> Result<Settled> {
        self.write(move |c| {
            let waiting = c
                .prepare("SELECT id FROM tasks WHERE state = 'INIT'")?
                .query_map([], |row| row.get(0).map(TaskId))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for id in &waiting {
                if let Some(mut it) = tasks::get(c, *id)? {
                    it.finish(Ending::aborted(Outcome::Lost, PERHAPS_RUN), now)?;
                    tasks::put(c, &it)?;
                }
            }
            let settled = Settled {
                tasks: waiting.len().try_into().unwrap_or(i64::MAX),
                sessions: c.execute("DELETE FROM sessions", [])?.try_into().unwrap_or(i64::MAX),
                tokens: c.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?,
            };
            c.execute("DELETE FROM pending_logins", [])?;
            let act = audit::Act {
                action: "store.restore",
                object: "store".into(),
                detail: json!({"last_task": made, "tasks_ended": settled.tasks, "sessions_ended": settled.sessions}),
            };
            audit::append(c, &By::server(now), act)?;
            Ok(settled)
        })
        .await
    }
}
