//! The audit trail's key and anchor, which lie outside of the store; and what the command line does
//! with the trail: read it, and find out whether it is what was written.

use super::{data_dir, failed};
use crate::api;
use crate::config::Config;
use crate::domain::{
    AuditFilter, AuditRecord, AuditVerdict, Error, Page, Result, Secret, random_token,
};
use crate::store::{AuditReader, Store, Trail, Verifier};
use std::fs::{self, File};
use std::io::{BufRead, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A shorter key could be guessed, in characters.
const KEY_MIN: usize = 32;
/// A longer one is a mistake, in bytes.
const KEY_MAX: u64 = 4096;
/// A longer line of an export is none, in bytes: what a record tells is far shorter.
const LINE_MAX: u64 = 64 * 1024 * 1024;
/// The name of the key among the credentials that systemd hands over.
const CREDENTIAL: &str = "wsexec-audit-key";
/// Records that are read at once.
const BATCH: u32 = 1000;

/// The key, made where there is neither one nor a record, and the place of the anchor.
///
/// # Errors
/// `Conflict` where the trail has records and its key is gone: one that is made anew would make a
/// trail that nobody can verify. As [`read_key`].
pub(super) fn trail(config: &Config) -> Result<Trail> {
    let path = key_path(config);
    let key = match read_key(&path)? {
        Some(key) => key,
        None if Store::has_trail(&config.data).map_err(failed)? => return Err(key_is_gone(&path)),
        None => make_key(&path)?,
    };
    let anchor = anchor_path(config);
    Ok(Trail { key, anchor })
}

/// The trail as it stands, without a change.
pub(super) fn present_trail(config: &Config) -> Result<Trail> {
    let path = key_path(config);
    let key = read_key(&path)?.ok_or_else(|| key_is_gone(&path))?;
    let anchor = anchor_path(config);
    Ok(Trail { key, anchor })
}

fn key_is_gone(path: &Path) -> Error {
    Error::conflict(format!(
        "The key of the audit trail is not in {}. Put it back there, from where you keep a copy, or \
         say where it is: `audit.key_file`. Without it nothing can be put on record.",
        path.display()
    ))
}

pub(super) fn key_path(config: &Config) -> PathBuf {
    let configured = config.audit.key_file.clone();
    configured
        .or_else(credential)
        .unwrap_or_else(|| config.data.join("audit.key"))
}

/// The file that systemd hands over (`LoadCredential=`), where it does.
fn credential() -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    let path = PathBuf::from(directory).join(CREDENTIAL);
    path.exists().then_some(path)
}

pub(super) fn anchor_path(config: &Config) -> PathBuf {
    let configured = config.audit.anchor_file.clone();
    configured.unwrap_or_else(|| config.data.join("audit.anchor"))
}

/// The key; none where there is no such file.
///
/// # Errors
/// `Conflict` where others could read it, or it is no key; `Unavailable` where it cannot be read.
fn read_key(path: &Path) -> Result<Option<Secret>> {
    let unreadable = |e: std::io::Error| {
        Error::unavailable(format!("Cannot read {}: {e}.", path.display()), 1).caused_by(e)
    };
    let refuse = |why: &str| {
        let text = format!("The key of the audit trail {} {why}.", path.display());
        Err(Error::conflict(text))
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return refuse("is no regular file");
    }
    if !data_dir::is_ours(&found) && found.uid() != 0 {
        return refuse("belongs to another user");
    }
    if found.mode() & if found.uid() == 0 { 0o037 } else { 0o077 } != 0 {
        return refuse("is open to others; `chmod 600` closes it");
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let mut limited = file.take(KEY_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim_end();
    if text.len() < KEY_MIN || bytes.len() as u64 > KEY_MAX {
        return refuse(&format!("does not hold {KEY_MIN} to {KEY_MAX} characters"));
    }
    Ok(Some(Secret::new(text)))
}

/// Makes it, or takes that of another program that was faster. It is there whole or not at all.
fn make_key(path: &Path) -> Result<Secret> {
    let key = random_token();
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    data_dir::write_secret(&draft, &key)?;
    let placed = fs::hard_link(&draft, path);
    data_dir::remove(&draft).map_err(failed)?;
    match placed {
        Ok(()) => Ok(key),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| key_is_gone(path))
        }
        Err(e) => {
            Err(Error::unavailable(format!("Cannot make {}: {e}.", path.display()), 1).caused_by(e))
        }
    }
}

/// Looks at the whole trail of a data directory, also beside a running server.
///
/// # Errors
/// Where the store, the key or the anchor cannot be read.
pub fn verify_audit(config: &Config) -> Result<AuditVerdict> {
    data_dir::judge(&config.data)?;
    let reader = AuditReader::open(&config.data).map_err(failed)?;
    reader.verify(&present_trail(config)?).map_err(failed)
}

/// Looks at an export, which may begin with any record and may leave none out.
///
/// # Errors
/// Where the key cannot be read, and where a line is no record.
pub fn verify_export(config: &Config, mut lines: impl BufRead) -> Result<AuditVerdict> {
    let trail = present_trail(config)?;
    // Its end is held against no anchor: what was exported ends where the trail ended then.
    let mut verifier = Verifier::part(trail.key, None);
    let (mut number, mut line) = (0_u64, String::new());
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_MAX).read_line(&mut line);
        if read.map_err(|e| failed(format!("line {}: {e}", number + 1)))? == 0 {
            break;
        }
        number += 1;
        let it = api::audit_record(line.trim_end_matches('\n'))
            .map_err(|why| failed(format!("line {number}: {why}")))?;
        verifier.look(&it);
    }
    Ok(verifier.finish())
}

/// Gives each record of a data directory that the filter lets through, as a line of JSON, also
/// beside a running server.
///
/// # Errors
/// Where the store cannot be read; those of `out`.
pub fn export_audit(
    config: &Config,
    filter: &AuditFilter,
    mut out: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<()> {
    data_dir::judge(&config.data)?;
    filter.validate()?;
    let reader = AuditReader::open(&config.data).map_err(failed)?;
    let mut page = Page {
        limit: Some(BATCH),
        ..Page::default()
    };
    loop {
        let records: Vec<AuditRecord> = reader.records(filter.clone(), page).map_err(failed)?;
        for it in &records {
            out(&api::audit_line(it)).map_err(failed)?;
        }
        match records.last() {
            Some(last) if records.len() == BATCH as usize => page = page.following(last.n),
            _ => return Ok(()),
        }
    }
}
