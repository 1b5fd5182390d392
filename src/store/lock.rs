//! The lock of a data directory: one server holds it, and says in it how it is.

use super::{OpenError, private_file};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A look at the lock holds it for an instant: so often, and so long apart, a server tries.
const TRIES: (u32, Duration) = (100, Duration::from_millis(10));
/// What is longer was not written by a server, in bytes.
const LONGEST: u64 = 4096;

/// Holds for as long as it lives, and ends with the process however that ends.
pub(super) struct Lock(File);

impl Lock {
    /// Blocks for a second at most.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another server holds it.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let directory = |cause| OpenError::Directory {
            dir: dir.to_owned(),
            cause,
        };
        let file = private_file(&path(dir)).map_err(directory)?;
        for _ in 0..TRIES.0 {
            match file.try_lock() {
                Ok(()) => {
                    // What a server before has said does not count any more.
                    file.set_len(0).map_err(directory)?;
                    return Ok(Self(file));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRIES.1),
                Err(TryLockError::Error(cause)) => return Err(directory(cause)),
            }
        }
        Err(OpenError::InUse(dir.to_owned()))
    }

    /// Puts a line in the place of the one that it holds. It is not for after a loss of power, so
    /// nothing waits for the disk. Blocks.
    pub(super) fn say(&self, line: &str) -> io::Result<()> {
        // In one piece; what is left of a longer line stands behind the end of this one.
        self.0.write_all_at(format!("{line}\n").as_bytes(), 0)
    }
}

/// What the server on a data directory says of itself, empty where it has said nothing yet; none
/// where no server runs there. Changes nothing. Blocks.
///
/// # Errors
/// Where the lock cannot be looked at.
pub(super) fn said(dir: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut words = Vec::new();
            file.by_ref().take(LONGEST).read_to_end(&mut words)?;
            let words = String::from_utf8_lossy(&words);
            Ok(Some(words.lines().next().unwrap_or_default().to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_holds_it_and_says_how_it_is_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(said(dir.path()).unwrap(), None, "nobody was ever there");
        let lock = Lock::take(dir.path()).unwrap();
        assert_eq!(said(dir.path()).unwrap().as_deref(), Some(""));
        lock.say("ready and well").unwrap();
        lock.say("ready").unwrap();
        assert_eq!(said(dir.path()).unwrap().as_deref(), Some("ready"));
        let second = Lock::take(dir.path());
        assert!(matches!(second, Err(OpenError::InUse(_))));
        drop(lock);
        assert_eq!(said(dir.path()).unwrap(), None);
        let _next = Lock::take(dir.path()).unwrap();
        let words = said(dir.path()).unwrap();
        assert_eq!(
            words.as_deref(),
            Some(""),
            "what the one before said is gone"
        );
    }

    #[test]
    fn a_look_keeps_no_server_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        drop(Lock::take(dir.path()).unwrap());
        let look = File::open(path(dir.path())).unwrap();
        look.try_lock_shared().unwrap();
        let server = std::thread::spawn({
            let dir = dir.path().to_owned();
            move || Lock::take(&dir).map(drop)
        });
        std::thread::sleep(TRIES.1 * 3);
        drop(look);
        server.join().unwrap().unwrap();
    }
}
