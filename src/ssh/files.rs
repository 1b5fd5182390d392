//! Small files that are read often: bounded, and parsed again only when they have changed.

use crate::domain::Secret;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The longest secret in a file, in bytes.
const SECRET_LIMIT: u64 = 4096;

/// What tells that a file is still the one that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What was parsed, by path. Holds as many entries as the configuration names files.
pub struct Parsed<T> {
    files: Mutex<HashMap<PathBuf, (Stamp, Arc<T>)>>,
}

impl<T> Parsed<T> {
    pub fn new() -> Self {
        Self {
            files: Mutex::new(HashMap::new()),
        }
    }

    /// What `parse` makes of the file's bytes, from memory where the file is unchanged. Blocks.
    pub fn get<E: From<io::Error>>(
        &self,
        path: &Path,
        limit: u64,
        parse: impl FnOnce(&Metadata, Vec<u8>) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp::of(&metadata);
        if let Some(known) = self.unchanged(path, stamp) {
            return Ok(known);
        }
        let bytes = read_bounded(file, &metadata, limit)?;
        let parsed = Arc::new(parse(&metadata, bytes)?);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), (stamp, parsed.clone()));
        Ok(parsed)
    }

    fn unchanged(&self, path: &Path, stamp: Stamp) -> Option<Arc<T>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, parsed) = files.get(path)?;
        (*of == stamp).then(|| parsed.clone())
    }
}

/// The whole of a regular file of at most `limit` bytes.
pub fn read_bounded(file: File, metadata: &Metadata, limit: u64) -> io::Result<Vec<u8>> {
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is over {limit} bytes")));
    }
    Ok(bytes)
}

/// The text of a small file that holds a secret, without its last line end.
///
/// # Errors
/// Where it cannot be read, or others can.
pub fn read_secret(path: &Path) -> io::Result<Secret> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if is_open_to_others(&metadata) {
        return Err(io::Error::other("others can read it (chmod 600 it)"));
    }
    let bytes = Zeroizing::new(read_bounded(file, &metadata, SECRET_LIMIT)?);
    let text = std::str::from_utf8(&bytes).map_err(io::Error::other)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Whether others than its owner may read or write a file that belongs to this user, which `ssh`
/// refuses in a file that holds a secret.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o077 != 0
}

/// A file in the user's `~/.ssh`, or nothing where there is no home.
pub fn in_dot_ssh(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".ssh").join(name))
}
