use super::private_file;
use crate::domain::{Error, Result};
use rustix::fs::FallocateFlags;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is held back so that something can be removed where the disk is full, in bytes: a removal
/// is written too, before it gives anything.
const BALLAST: u64 = 8 * 1024 * 1024;

/// Keeps room on the disk for what already runs: new work is refused before the floor is reached.
pub struct Disk {
    dir: PathBuf,
    floor: u64,
}

impl Disk {
    pub fn new(dir: PathBuf, floor: u64) -> Self {
        Self { dir, floor }
    }

    /// Bytes that this program may still write.
    pub fn free(&self) -> io::Result<u64> {
        free(&self.dir)
    }

    /// Looked at each time: it costs a microsecond, and what was free a moment ago is no promise.
    pub fn check(&self) -> Result<()> {
        let free = self.free().map_err(|cause| {
            Error::unavailable("The disk of the store cannot be looked at.", 10).caused_by(cause)
        })?;
        if free >= self.floor {
            Ok(())
        } else {
            Err(Error::unavailable(
                "The disk of the server is nearly full: no new tasks until there is room. What runs is still recorded.",
                60,
            ))
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Takes the ballast on where it is not there and there is room for it above the floor. A file
    /// system that cannot set room aside has none.
    pub fn take_ballast(&self) {
        let path = self.ballast();
        let taken = || -> io::Result<()> {
            let is_there = path.metadata().is_ok_and(|it| it.len() == BALLAST);
            if is_there || self.free()? < self.floor.saturating_add(2 * BALLAST) {
                return Ok(());
            }
            let file = private_file(&path)?;
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST)?;
            Ok(())
        };
        if let Err(error) = taken() {
            tracing::debug!(%error, "no ballast is set aside");
            let _ = fs::remove_file(&path);
        }
    }

    /// Gives the ballast up where the disk is full. True where that made room.
    pub fn drop_ballast(&self) -> bool {
        let is_full = self.free().is_ok_and(|free| free < BALLAST);
        let dropped = is_full && fs::remove_file(self.ballast()).is_ok();
        if dropped {
            tracing::warn!(
                "the disk is full: the ballast is given up, so that something can be removed"
            );
        }
        dropped
    }
}

/// What whoever runs this may still write to the disk of a directory, in bytes.
pub fn free(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
