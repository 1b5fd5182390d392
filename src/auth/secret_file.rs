use crate::domain::{Error, Result};
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The secret of this service at the OpenID provider, from a file that is open to its owner alone.
///
/// # Errors
/// `Conflict` that says what to do.
pub(super) fn read(path: &Path) -> Result<String> {
    let refuse = |why: &dyn Display| {
        let file = path.display();
        Error::conflict(format!("auth.openid.client_secret_file {file}: {why}."))
    };
    let file = File::open(path).map_err(|error| refuse(&error))?;
    let found = file.metadata().map_err(|error| refuse(&error))?;
    let me = rustix::process::geteuid().as_raw();
    if !found.is_file() || (found.uid() != me && found.uid() != 0) {
        return Err(refuse(&"it is no file of yours or of root"));
    }
    // A credential of systemd is 0440 of root's: its directory is what keeps others out.
    let credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|it| path.starts_with(it));
    let others = if credential { 0o007 } else { 0o077 };
    if found.mode() & others != 0 {
        return Err(refuse(&"it is open to others: chmod 600 it"));
    }
    let mut text = String::new();
    let read = file.take(4096).read_to_string(&mut text);
    read.map_err(|error| refuse(&error))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(refuse(&"it is empty")),
        secret => Ok(secret.to_owned()),
    }
}
