//! SQLite: one writer with group commit, many readers, numbered migrations, one file for each noun
//! with its SQL beside its row mapping.
//!
//! It speaks in domain types and use-case names, so that another database can stand behind the
//! same words. WAL with `synchronous=FULL`: what a write returned is on disk.

mod access;
mod amendments;
mod anchor;
mod approvals;
mod attempts;
mod audit;
mod audit_read;
mod audit_verify;
mod backup;
mod check;
mod conditions;
mod disk;
mod fault;
mod health;
mod host_keys;
mod idempotency;
mod identities;
mod instances;
mod jumps;
mod launch;
mod migrate;
mod output;
mod output_lines;
mod output_read;
mod output_runs;
mod overview;
mod pending_logins;
mod place;
mod readers;
mod rows;
mod second_factors;
mod secrets;
mod sessions;
mod tasks;
mod tokens;
mod users;
mod writer;

pub use audit::{Note, Trail};
pub use audit_read::AuditReader;
pub use audit_verify::Verifier;
pub use backup::{Contents, Settled, StoreFile};
pub use identities::IdentityRow;
pub use instances::ByLaw;
pub use output::{CHUNK, Chunk, OutputWrite, Piece};
pub use overview::Viewer;
pub use sessions::{Lifetime, NewSession};
pub use tasks::Claims;
pub use users::{NewUser, UserKey, UserUpdate};

use crate::config;
use crate::domain::{By, Clock, Error, Result, SystemClock};
use anchor::Anchor;
use disk::Disk;
use readers::Readers;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use writer::Writer;

/// The store; cheap to clone. The last clone waits for what was written to be on disk.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped in this order: the readers first, so that the writer's last checkpoint can empty the
    // log, and the lock last.
    readers: Readers,
    writer: Writer,
    disk: Disk,
    id: String,
    /// Marked as changed when somebody may be logged in with less than before.
    access: watch::Sender<()>,
    _lock: Option<File>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {dir}: {cause}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is on a file system that can damage a store.
    #[error(
        "the data directory {dir} is on {kind}, where SQLite can damage a store; choose one on a disk of this machine with --data"
    )]
    Shared {
        /// The directory.
        dir: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// Another server runs on it.
    #[error(
        "another wsexec server already runs on the data directory {0}; stop it, or choose another with --data"
    )]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error(
        "the store has schema {found} and this program knows {known} at most: it was written by a newer wsexec; run that one, or restore a backup"
    )]
    Newer {
        /// What the store has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The store of an older program cannot be kept beside the new one.
    #[error(
        "the store is of an older wsexec and cannot be copied to {file} before it is brought up to date: {cause}; make room there, or run that program"
    )]
    Kept {
        /// The copy.
        file: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The audit trail's anchor cannot be used.
    #[error("cannot use the anchor of the audit trail {path}: {cause}")]
    Anchor {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The audit trail is not what was written.
    #[error(
        "the audit trail is not what was written: {fault}. `wsexec audit verify` says more. If you have restored an older store, move the anchor {anchor} away: a new one is begun, which is put on record"
    )]
    Trail {
        /// The first thing that is wrong.
        fault: String,
        /// The anchor.
        anchor: PathBuf,
    },
    /// There is no audit trail yet.
    #[error("there is no audit trail yet: it begins when `wsexec serve` starts")]
    NoTrail,
    /// It cannot be gone on with.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The same of the store in a data directory.
    #[error(
        "the store is damaged: {0}. Restore a backup: stop the server, move wsexec.db, with its -wal and -shm, out of the data directory, and run `wsexec restore FILE`"
    )]
    DamagedInPlace(String),
    /// SQLite says no.
    #[error("cannot open the store: {0}")]
    Sqlite(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match fault::is_damage(&error) {
            true => Self::Damaged(error.to_string()),
            false => Self::Sqlite(error.to_string()),
        }
    }
}

impl OpenError {
    /// Of the store in a data directory, in the place of which a backup can be put.
    fn in_place(self) -> Self {
        match self {
            Self::Damaged(what) => Self::DamagedInPlace(what),
            other => other,
        }
    }
}

/// Who opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The one server of a data directory.
    Server,
    /// A command, also beside a running server.
    Command,
}

impl Store {
    /// Opens the store in a data directory, and makes both where they are missing: the directory
    /// with mode 0700, the files with 0600. An audit trail that is not what `trail` says it should
    /// be is not gone on with. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        dir: &Path,
        config: &config::Store,
        trail: Trail,
        access: Access,
    ) -> Result<Self, OpenError> {
        Self::open_at(dir, config, trail, access).map_err(OpenError::in_place)
    }

    fn open_at(
        dir: &Path,
        config: &config::Store,
        trail: Trail,
        access: Access,
    ) -> Result<Self, OpenError> {
        let directory = |cause| OpenError::Directory {
            dir: dir.to_owned(),
            cause,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(directory)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(directory)?;
        place::judge(dir)?;
        let lock = match access {
            Access::Server => Some(lock(dir)?),
            Access::Command => None,
        };
        let path = dir.join("wsexec.db");
        // Made here, so that it has its mode from the start; SQLite gives its side files the same.
        private_file(&path).map_err(directory)?;
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        migrate::keep_old(&connection, dir)?;
        migrate::migrate(&mut connection)?;
        let anchor = take_up(&mut connection, trail)?;
        let id = connection.query_row("SELECT id FROM store", [], |row| row.get(0))?;
        let readers = Readers::open(config.readers.max(1), || {
            connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                readers,
                writer: Writer::start(connection, anchor),
                disk: Disk::new(dir.to_owned(), config.min_free),
                id,
                access: watch::Sender::new(()),
                _lock: lock,
            }),
        })
    }

    /// The UUID of this store, in the names of what its runs leave on machines.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Whether the store reads and writes.
    ///
    /// # Errors
    /// `Unavailable` where it does not.
    pub async fn ready(&self) -> Result<()> {
        self.read(|c| c.query_row("SELECT 1", [], |_| Ok(())))
            .await?;
        self.write(|_| Ok(())).await
    }

    /// Whether the disk has room for new tasks.
    ///
    /// # Errors
    /// `Unavailable` where the free space is under the configured floor.
    pub fn check_room(&self) -> Result<()> {
        self.inner.disk.check()
    }

    async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.readers.read(f).await
    }

    /// Writes for somebody, where what they were let in with still holds in that transaction.
    async fn act<T, F>(&self, by: By, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &By) -> Result<T, fault::Fault> + Send + 'static,
    {
        self.write(move |c| {
            access::check(c, &by)?;
            f(c, &by)
        })
        .await
    }

    async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, fault::Fault> + Send + 'static,
    {
        self.inner.writer.write(f).await
    }
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Plans do not depend on what is bound, or SQLite prepares a statement again for each new value
    // of its `LIMIT`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    access::teach(&connection)?;
    Ok(connection)
}

/// Finds the audit trail as it was left, or refuses to go on with it.
fn take_up(connection: &mut Connection, trail: Trail) -> Result<Anchor, OpenError> {
    let Trail { key, anchor: path } = trail;
    let refuse = |cause| OpenError::Anchor {
        path: path.clone(),
        cause,
    };
    let mut anchor = Anchor::open(&path).map_err(refuse)?;
    let anchored = anchor.read().map_err(refuse)?;
    let before = audit::head(connection)?;
    audit_read::judge_end(connection, &key, anchored.as_ref())?.map_err(|fault| {
        OpenError::Trail {
            fault,
            anchor: path.clone(),
        }
    })?;
    audit::unlock(connection, key)?;
    audit::seal(connection)?;
    if let (Some(head), None) = (before, anchored) {
        tracing::warn!(
            records = head.n,
            "the audit trail has no anchor: whether its end was cut off is not known; a new one begins"
        );
        let begun = audit::Act {
            action: "audit.anchor",
            object: "audit".into(),
            detail: serde_json::json!({"records": head.n}),
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        audit::append(&transaction, &By::server(SystemClock.now()), begun)
            .map_err(|fault| OpenError::Sqlite(Error::from(fault).to_string()))?;
        transaction.commit()?;
    }
    if let Some(head) = audit::head(connection)? {
        anchor.advance(head);
    }
    Ok(anchor)
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Holds for as long as the file is open, and ends with the process however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let directory = |cause| OpenError::Directory {
        dir: dir.to_owned(),
        cause,
    };
    let file = private_file(&dir.join("lock")).map_err(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(fs::TryLockError::Error(cause)) => Err(directory(cause)),
    }
}
