//! The two files, written so that a crash leaves no half pair, and read so that a key that others
//! can read is noticed.

use super::Error;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What is too large to be a certificate chain or a key, in bytes.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Reads certificates in PEM; there is at least one.
pub(super) fn read_certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(&read_public(path)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| Error::NoCertificate {
            path: path.to_owned(),
        })
}

/// Reads what anybody may.
pub(super) fn read_public(path: &Path) -> Result<Vec<u8>, Error> {
    read(path, |_| Ok(()))
}

/// By what a change of a file is seen: device, inode, size, and the times of its last changes of
/// content and of anything, in nanoseconds. None where there is none.
pub(super) type Stamp = Option<(u64, u64, u64, [i64; 4])>;

/// The stamp of what stands at a path, or of what a link there leads to.
pub(super) fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    let times = [
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ];
    Some((meta.dev(), meta.ino(), meta.size(), times))
}

/// Reads the key, unless others can read it too. As for ssh, a group may where the file is not
/// the caller's own: that is how an administrator hands a key to a service.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let check = |file: &File| {
        let meta = file.metadata().map_err(read_error(path))?;
        let own = meta.uid() == rustix::process::geteuid().as_raw();
        let refused = if own { 0o077 } else { 0o007 };
        if meta.mode() & refused == 0 {
            return Ok(());
        }
        Err(Error::Exposed {
            path: path.to_owned(),
            mode: meta.mode() & 0o7777,
        })
    };
    read(path, check).map(Zeroizing::new)
}

fn read(path: &Path, check: impl Fn(&File) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(read_error(path))?;
    check(&file)?;
    // Enough for what is usual, so that a key is not copied about while the buffer grows.
    let mut bytes = Vec::with_capacity(16 * 1024);
    file.take(SIZE_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(read_error(path))?;
    Ok(bytes)
}

/// Puts both files in place: first beside, then by two renames, the key's before the
/// certificate's. What a crash leaves between the two is finished by [`finish`].
pub(super) fn write_pair(cert: (&Path, &str), key: (&Path, &str)) -> Result<(), Error> {
    for (path, text, mode) in [(cert.0, cert.1, 0o644), (key.0, key.1, 0o600)] {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(write_error(parent))?;
        }
        let beside = beside(path);
        // Of a start that a crash interrupted; nobody uses it yet.
        let _ = fs::remove_file(&beside);
        write_new(&beside, text, mode).map_err(write_error(&beside))?;
    }
    for path in [key.0, cert.0] {
        rename(path)?;
    }
    Ok(())
}

/// Completes what a crash interrupted between the two renames.
pub(super) fn finish(cert: &Path, key: &Path) -> Result<(), Error> {
    if key.exists() && !cert.exists() && beside(cert).exists() {
        rename(cert)?;
    }
    Ok(())
}

/// Replaces one file that is for its owner alone (0600).
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let beside = beside(path);
    // As in `write_pair`.
    let _ = fs::remove_file(&beside);
    write_new(&beside, text, 0o600).map_err(write_error(&beside))?;
    rename(path)
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn rename(path: &Path) -> Result<(), Error> {
    fs::rename(beside(path), path).map_err(write_error(path))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(write_error(parent))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |cause| Error::Read {
        path: path.to_owned(),
        cause,
    }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |cause| Error::Write {
        path: path.to_owned(),
        cause,
    }
}
