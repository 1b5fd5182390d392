//! What there is to know of a store at a glance, read beside a running server.

use super::audit_read::AuditReader;
use super::check::unchanged;
use super::{OpenError, Store, connect, disk, lock, migrate};
use crate::domain::{AuditFilter, AuditRecord, InstanceId, Order, Page, State, TaskId};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::io;
use std::path::Path;

/// A store at a glance.
#[derive(Debug)]
pub struct Glance {
    /// The number of its schema, and of the newest that this program knows.
    pub schema: (i64, i64),
    /// Its size with its log, in bytes.
    pub bytes: u64,
    /// What is free on its disk, in bytes.
    pub free: u64,
    /// What it holds; none where its schema is older.
    pub holds: Option<Holds>,
}

/// What a store holds.
#[derive(Debug)]
pub struct Holds {
    /// How many tasks there are in each state.
    pub tasks: Vec<(State, i64)>,
    /// Of the tasks that wait, the one that was posted first, with when.
    pub waiting: Option<(TaskId, i64)>,
    /// Of the tasks that run, the one that began first, with where and when.
    pub running: Option<(TaskId, InstanceId, i64)>,
    /// The last record of the audit trail.
    pub last: Option<AuditRecord>,
}

impl Store {
    /// Looks at the store of a data directory; none where there is none. Makes and changes nothing,
    /// also beside a running server. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn glance(dir: &Path) -> Result<Option<Glance>, OpenError> {
        let path = dir.join("wsexec.db");
        let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
        let bytes = size(&path);
        if bytes == 0 {
            return Ok(None);
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(&path), read_only)?;
        let schema = migrate::schema(&connection)?;
        let free = disk::free(dir).map_err(|cause| OpenError::Directory {
            dir: dir.to_owned(),
            cause,
        })?;
        let holds = match migrate::check(&connection)? {
            true => Some(holds(connection)?),
            false => None,
        };
        Ok(Some(Glance {
            schema,
            bytes: bytes + size(&path.with_extension("db-wal")),
            free,
            holds,
        }))
    }

    /// Says how the server is, for who looks: in the lock that it holds. Blocks.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn say(&self, words: &str) -> io::Result<()> {
        self.inner.lock.as_ref().map_or(Ok(()), |it| it.say(words))
    }

    /// What the server on a data directory has said last, empty where it has said nothing yet; none
    /// where no server runs there. Changes nothing. Blocks.
    ///
    /// # Errors
    /// Where the lock cannot be looked at.
    pub fn said(dir: &Path) -> io::Result<Option<String>> {
        lock::said(dir)
    }
}

fn holds(c: Connection) -> Result<Holds, OpenError> {
    // One moment for all of it.
    c.execute_batch("BEGIN")?;
    // From an index that holds nothing but state and id.
    let mut count =
        c.prepare("SELECT count(*) FROM tasks INDEXED BY tasks_by_state WHERE state = ?1")?;
    let tasks = State::ALL.into_iter().map(|state| {
        let n = count.query_row([state.as_str()], |row| row.get(0))?;
        Ok((state, n))
    });
    let tasks = tasks.collect::<rusqlite::Result<_>>()?;
    drop(count);
    let waiting = c
        .query_row(
            "SELECT id, created FROM tasks INDEXED BY tasks_by_state WHERE state = 'INIT' ORDER BY id LIMIT 1",
            [],
            |row| Ok((TaskId(row.get(0)?), row.get(1)?)),
        )
        .optional()?;
    let running = c
        .query_row(
            "SELECT id, instance, start FROM tasks INDEXED BY tasks_running WHERE state = 'CURRENT'
             ORDER BY start, id LIMIT 1",
            [],
            |row| Ok((TaskId(row.get(0)?), InstanceId(row.get(1)?), row.get(2)?)),
        )
        .optional()?;
    let newest = Page {
        limit: Some(1),
        order: Order::Desc,
        ..Page::default()
    };
    let last = AuditReader::of(c)
        .records(AuditFilter::default(), newest)?
        .pop();
    Ok(Holds {
        tasks,
        waiting,
        running,
        last,
    })
}
