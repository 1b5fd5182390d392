//! Which file systems a store can lie on.

use super::OpenError;
use std::path::Path;

/// What statfs(2) says of file systems that other machines may write to, or that leave locks and
/// shared memory to a program: SQLite's write-ahead log needs both of the kernel itself
/// (<https://sqlite.org/wal.html>).
const SHARED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x786F_4256, "vboxsf"),
];

/// Whether a store in this directory is safe from being damaged by where it lies.
///
/// # Errors
/// [`OpenError::Shared`]; [`OpenError::Directory`] where that cannot be told.
pub fn judge(dir: &Path) -> Result<(), OpenError> {
    let found = rustix::fs::statfs(dir).map_err(|cause| OpenError::Directory {
        dir: dir.to_owned(),
        cause: cause.into(),
    })?;
    // 32 bits, whatever the word of the machine is.
    let found = found.f_type as u32;
    match SHARED.iter().find(|(magic, _)| *magic == found) {
        Some((_, kind)) => Err(OpenError::Shared {
            dir: dir.to_owned(),
            kind,
        }),
        None => Ok(()),
    }
}
