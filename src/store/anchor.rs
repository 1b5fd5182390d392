//! Where the audit trail ends, in a file of its own: what is cut off the trail is missed there.

use super::audit;
use super::fault::from_sqlite;
use crate::domain::{AuditHead, Error, Result};
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an anchor has at most, in bytes.
const SIZE: usize = 256;
/// Another program holds the file for as long as one write takes: it is tried so often, so far apart.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// The file with the number and the MAC of the last record, which never goes backwards. It may be
/// behind the trail, since it is written after the commit, and is never ahead of it.
pub(super) struct Anchor {
    path: PathBuf,
    file: File,
    /// The last record that this program has seen: the next ones come after it.
    last: Option<AuditHead>,
    /// Whether the last write failed, which is told once.
    failing: bool,
}

impl Anchor {
    /// Opens it, and makes it (0600) where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open(path)?,
            path: path.to_owned(),
            last: None,
            failing: false,
        })
    }

    /// What it says; nothing where it is new.
    pub(super) fn read(&self) -> io::Result<Option<AuditHead>> {
        read(&self.file)
    }

    /// What the anchor at a path says; none where there is none.
    pub(super) fn peek(path: &Path) -> io::Result<Option<AuditHead>> {
        match File::open(path) {
            Ok(file) => read(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// To be called before a commit that appended: holds the trail against what was there before.
    ///
    /// # Errors
    /// `Unavailable` where the trail has lost what it had: nothing may be changed any more.
    pub(super) fn check(&self, c: &Connection) -> Result<()> {
        match &self.last {
            Some(last) if !audit::holds(c, last).map_err(from_sqlite)? => Err(Error::unavailable(
                "The audit trail is not what it was, and so nothing is changed. `wsexec audit \
                     verify` says more.",
                60,
            )
            .caused_by(format!("record {} of the audit trail is gone", last.n))),
            Some(_) | None => Ok(()),
        }
    }

    /// To be called after a commit: moves on to where the trail ends now. What cannot be written is
    /// logged and made up for by the next one.
    pub(super) fn advance(&mut self, head: AuditHead) {
        let written = self.write(&head);
        self.last = Some(head);
        match written {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, file = %self.path.display(), "cannot write the anchor of the audit trail");
            }
            Err(_) => {}
        }
    }

    fn write(&mut self, head: &AuditHead) -> io::Result<()> {
        self.follow()?;
        lock(&self.file)?;
        let written = self.write_locked(head);
        self.file.unlock()?;
        written
    }

    /// One write of less than a sector: whoever reads it sees the one or the other.
    fn write_locked(&self, head: &AuditHead) -> io::Result<()> {
        match read(&self.file)? {
            Some(found) if found.n >= head.n => Ok(()),
            Some(_) | None => self.file.write_all_at(text(head).as_bytes(), 0),
        }
    }

    /// Opens it again where another file stands at its path by now, or none.
    fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let there = fs::metadata(&self.path);
        if !there.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())) {
            self.file = open(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // It may be behind after a loss of power; so may it be where this fails.
        let _ = self.file.sync_data();
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

fn lock(file: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another program holds it"))
}

/// Always of the same length, so that one write replaces all of it.
fn text(head: &AuditHead) -> String {
    let mac: String = head.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:020} {mac}\n", head.n)
}

fn read(file: &File) -> io::Result<Option<AuditHead>> {
    let mut bytes = [0; SIZE];
    let length = file.read_at(&mut bytes, 0)?;
    if length == 0 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
    parse(text)
        .map(Some)
        .ok_or_else(|| io::Error::other("it does not hold a number and a MAC"))
}

fn parse(text: &str) -> Option<AuditHead> {
    let (n, mac) = text.strip_suffix('\n')?.split_once(' ')?;
    let byte = |at: usize| u8::from_str_radix(mac.get(at..at + 2)?, 16).ok();
    let mac: Option<Vec<u8>> = (0..mac.len()).step_by(2).map(byte).collect();
    Some(AuditHead {
        n: n.parse().ok()?,
        mac: mac?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(n: i64) -> AuditHead {
        AuditHead {
            n,
            mac: vec![n as u8; 32],
        }
    }

    #[test]
    fn an_anchor_goes_forwards_alone_whoever_writes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        assert_eq!(Anchor::peek(&path).unwrap(), None);
        let (mut one, mut other) = (Anchor::open(&path).unwrap(), Anchor::open(&path).unwrap());
        one.advance(head(7));
        other.advance(head(5));
        assert_eq!(Anchor::peek(&path).unwrap(), Some(head(7)));
        other.advance(head(8));
        assert_eq!(one.read().unwrap(), Some(head(8)));
    }

    #[test]
    fn an_anchor_that_was_taken_away_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        let mut anchor = Anchor::open(&path).unwrap();
        anchor.advance(head(7));
        fs::remove_file(&path).unwrap();
        anchor.advance(head(8));
        assert_eq!(Anchor::peek(&path).unwrap(), Some(head(8)));
        fs::write(&path, "nonsense").unwrap();
        assert!(Anchor::peek(&path).is_err());
    }
}
