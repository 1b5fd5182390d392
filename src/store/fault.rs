use crate::domain::Error;
use rusqlite::ErrorCode;

/// What can go wrong inside a write: SQLite's own trouble, or a rule of the domain that says no.
pub enum Fault {
    Sqlite(rusqlite::Error),
    Domain(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sqlite(error) => from_sqlite(error),
            Fault::Domain(error) => error,
        }
    }
}

/// Whether the file is not what SQLite wrote.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Trouble that passes is worth another try; all else is a fault of ours, or of the disk.
pub fn from_sqlite(error: rusqlite::Error) -> Error {
    let passing = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
        )
    );
    if passing {
        Error::unavailable("The store cannot do this now. Try again later.", 5).caused_by(error)
    } else if is_damage(&error) {
        // SQLite cannot tell the one from the other, and the other may pass.
        Error::unavailable(
            "The store is damaged, or its disk fails to read. Whoever runs the server finds what to do by `wsexec check`.",
            60,
        )
        .caused_by(error)
    } else {
        Error::internal(error)
    }
}
