use crate::domain::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long one look at the disk counts.
const FRESH: Duration = Duration::from_millis(250);

/// Keeps room on the disk for what already runs: new work is refused before the floor is reached.
pub struct Disk {
    dir: PathBuf,
    floor: u64,
    last: Mutex<Option<(Instant, u64)>>,
}

impl Disk {
    pub fn new(dir: PathBuf, floor: u64) -> Self {
        Self {
            dir,
            floor,
            last: Mutex::new(None),
        }
    }

    pub fn check(&self) -> Result<()> {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let free = match *last {
            Some((at, free)) if at.elapsed() < FRESH => free,
            _ => {
                let free = free(&self.dir).map_err(|cause| {
                    Error::unavailable("The disk of the store cannot be looked at.", 10)
                        .caused_by(cause)
                })?;
                *last = Some((Instant::now(), free));
                free
            }
        };
        if free >= self.floor {
            Ok(())
        } else {
            Err(Error::unavailable(
                "The disk of the server is nearly full: no new tasks until there is room. What runs is still recorded.",
                60,
            ))
        }
    }
}

/// What whoever runs this may still write to the disk of a directory, in bytes.
pub fn free(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
