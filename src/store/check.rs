use super::{OpenError, Store, connect, migrate, place};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

impl Store {
    /// Whether there is a store that this program can read; false where there is none. Reads each
    /// of its pages. Makes and changes nothing, also beside a running server. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check(dir: &Path) -> Result<bool, OpenError> {
        Self::read_whole(dir).map_err(OpenError::in_place)
    }

    fn read_whole(dir: &Path) -> Result<bool, OpenError> {
        place::judge(dir)?;
        let path = dir.join("wsexec.db");
        if !path.exists() {
            return Ok(false);
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(&path), read_only)?;
        migrate::check(&connection)?;
        // Indexes against their tables as well would take several times as long.
        whole(&connection, "quick_check")?;
        Ok(true)
    }
}

/// Asks SQLite (`quick_check` or `integrity_check`) whether all of the file is what it wrote.
pub(super) fn whole(connection: &Connection, pragma: &str) -> Result<(), OpenError> {
    let told: String =
        connection.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))?;
    // Its first line may name the database alone.
    match told.lines().last() {
        Some("ok") => Ok(()),
        what => Err(OpenError::Damaged(what.unwrap_or_default().to_owned())),
    }
}

/// The file as SQLite has to be told it, so that it makes no side files: a store that nobody has
/// open has no log, and can be read as one that does not change.
pub(super) fn unchanged(path: &Path) -> PathBuf {
    if path.with_extension("db-wal").exists() {
        return path.to_owned();
    }
    let url = path.canonicalize().ok().and_then(|path| {
        let mut url = url::Url::from_file_path(path).ok()?;
        url.set_query(Some("immutable=1"));
        Some(url.as_str().into())
    });
    url.unwrap_or_else(|| path.to_owned())
}
