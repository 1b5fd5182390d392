use super::{OpenError, Store, connect, migrate};
use rusqlite::OpenFlags;
use std::path::{Path, PathBuf};

impl Store {
    /// Whether there is a store that this program can read; false where there is none. Makes and
    /// changes nothing, also beside a running server. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check(dir: &Path) -> Result<bool, OpenError> {
        let path = dir.join("wsexec.db");
        if !path.exists() {
            return Ok(false);
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = connect(&unchanged(&path), read_only)?;
        migrate::check(&connection)?;
        Ok(true)
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
