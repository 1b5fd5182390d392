//! The data directory: ours alone, and the first password in it until it is changed.

use crate::domain::{Error, Kind, Result, Secret};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const OTHERS: u32 = 0o077;

/// Makes the directory (0700) where it is not there. An empty one that is ours is made so; one
/// that holds something is never changed, because it may be anything.
///
/// # Errors
/// `Conflict` where it cannot be made, is somebody else's, or lets others in.
pub(super) fn ensure(dir: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => {}
        Err(e) => return Err(refuse(dir, &format!("cannot be made: {e}"))),
    }
    match judge(dir) {
        Err(_) if is_ours(&metadata(dir)?) && is_empty(dir) => {
            fs::set_permissions(dir, Permissions::from_mode(0o700))
                .map_err(|e| refuse(dir, &format!("cannot be closed to others: {e}")))?;
            judge(dir)
        }
        verdict => verdict,
    }
}

/// Whether it is a directory that only we can enter.
///
/// # Errors
/// `NotFound` where there is none, `Conflict` where it is not fit.
pub(super) fn judge(dir: &Path) -> Result<()> {
    let found = metadata(dir)?;
    if !found.is_dir() {
        return Err(refuse(dir, "is no directory"));
    }
    if !is_ours(&found) {
        return Err(refuse(dir, "belongs to another user"));
    }
    if found.mode() & OTHERS != 0 {
        let advice = format!(
            "lets other users in; `chmod 700 {}` closes it",
            dir.display()
        );
        return Err(refuse(dir, &advice));
    }
    Ok(())
}

fn metadata(dir: &Path) -> Result<Metadata> {
    fs::metadata(dir).map_err(|e| {
        let kind = match e.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Conflict,
        };
        Error::new(kind, format!("The data directory {}: {e}.", dir.display()))
    })
}

pub(super) fn is_ours(found: &Metadata) -> bool {
    let me = rustix::process::geteuid();
    found.uid() == me.as_raw() || me.is_root()
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn refuse(dir: &Path, why: &str) -> Error {
    Error::conflict(format!("The data directory {} {why}.", dir.display()))
}

/// Where the first password stands.
pub(super) fn first_password(dir: &Path) -> PathBuf {
    dir.join("admin-password")
}

/// Writes a file that only we can read (0600). One that is there already is replaced, and a link
/// is not followed.
///
/// # Errors
/// `Unavailable` where it cannot be written.
pub(super) fn write_secret(path: &Path, secret: &Secret) -> Result<()> {
    let write = || -> std::io::Result<()> {
        remove(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(secret.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // Its name too is there after a loss of power.
        path.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|e| {
        Error::unavailable(format!("Cannot write {}: {e}.", path.display()), 1).caused_by(e)
    })
}

/// Removes a file that may not be there.
///
/// # Errors
/// That of the operating system.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
