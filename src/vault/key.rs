//! Where master keys come from: a file, the environment, a credential of systemd.

use crate::config;
use crate::domain::{Error, Result, Secret, random_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LENGTH: usize = 32;
/// No spelling of a key is longer, in bytes.
const TEXT_LIMIT: u64 = 256;
const VARIABLE: &str = "WSEXEC_MASTER_KEY";
/// The name that systemd's `LoadCredential=` has to use.
const CREDENTIAL: &str = "wsexec-master-key";
const HOW: &str = "This server has no master key, so it keeps no secrets. Make one by `wsexec \
    secrets init FILE`, name it in secrets.master_key_file, and start the server again.";

/// One master key.
pub(super) struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl MasterKey {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let decoded = Zeroizing::new(match text.len() {
            64 => unhex(text)?,
            _ => [STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD]
                .iter()
                .find_map(|alphabet| alphabet.decode(text).ok())?,
        });
        let bytes = Zeroizing::new(<[u8; LENGTH]>::try_from(decoded.as_slice()).ok()?);
        let mut hash = Sha256::new_with_prefix(b"wsexec master key\0");
        hash.update(*bytes);
        let id = hash.finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Some(Self { id, bytes })
    }

    /// Its name: says nothing of the key itself.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.bytes
    }

    pub(super) fn spellings(&self) -> Vec<Secret> {
        let hex: String = self.bytes.iter().map(|b| format!("{b:02x}")).collect();
        vec![
            Secret::new(hex.to_uppercase()),
            Secret::new(hex),
            Secret::new(STANDARD_NO_PAD.encode(*self.bytes)),
            Secret::new(URL_SAFE_NO_PAD.encode(*self.bytes)),
        ]
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(digit(&pair[0])? * 16 + digit(pair.get(1)?)?).ok())
        .collect()
}

/// The keys that are known, and what tells that their files have changed.
pub(super) struct Keys {
    pub(super) current: Option<MasterKey>,
    pub(super) previous: Vec<MasterKey>,
    pub(super) stamps: Vec<Stamp>,
}

impl Keys {
    pub(super) fn all(&self) -> impl Iterator<Item = &MasterKey> {
        self.current.iter().chain(&self.previous)
    }

    /// # Errors
    /// `Conflict` with how to give one.
    pub(super) fn current(&self) -> Result<&MasterKey> {
        self.current.as_ref().ok_or_else(|| Error::conflict(HOW))
    }
}

/// Device, inode, length and the time of the last change; None where there is no file.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Where the keys stand.
pub(super) struct Files {
    variable: Option<Secret>,
    current: Option<PathBuf>,
    previous: Vec<PathBuf>,
}

impl Files {
    pub(super) fn of(config: &config::Secrets) -> Self {
        Self::from(config, |name| std::env::var_os(name))
    }

    fn from(config: &config::Secrets, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        // As everywhere, the environment wins over the file of the configuration; a credential is
        // what is there where nothing was said.
        let credential = || {
            let path = PathBuf::from(variable("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
            path.exists().then_some(path)
        };
        Self {
            variable: variable(VARIABLE).map(|text| Secret::new(text.to_string_lossy())),
            current: config.master_key_file.clone().or_else(credential),
            previous: config.previous_key_files.clone(),
        }
    }

    /// # Errors
    /// `Conflict` with the first source that cannot be used, and what to do.
    pub(super) fn read(&self) -> Result<Keys> {
        let stamps = self.stamps();
        let current = match (&self.variable, &self.current) {
            (Some(text), _) => Some(
                MasterKey::parse(text.expose())
                    .ok_or_else(|| Error::conflict(format!("{VARIABLE}: is no key: {SHAPE}")))?,
            ),
            (None, Some(path)) => Some(read(path)?),
            (None, None) => None,
        };
        let previous = self.previous.iter().map(|path| read(path));
        Ok(Keys {
            current,
            previous: previous.collect::<Result<_>>()?,
            stamps,
        })
    }

    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            let changed = (found.ctime(), found.ctime_nsec());
            Some((found.dev(), found.ino(), found.len(), changed.0, changed.1))
        };
        self.current
            .iter()
            .chain(&self.previous)
            .map(stamp)
            .collect()
    }
}

const SHAPE: &str = "32 bytes as base64 or hex, as `wsexec secrets init` makes it";

fn read(path: &Path) -> Result<MasterKey> {
    let refuse = |why: String| Error::conflict(format!("The key file {} {why}.", path.display()));
    let text = read_private(path).map_err(|error| refuse(error.to_string()))?;
    MasterKey::parse(&text).ok_or_else(|| refuse(format!("holds no key: {SHAPE}")))
}

/// Asks the opened file, so that nobody can exchange it in between.
fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let no = |why: &str| Err(io::Error::other(why.to_owned()));
    let file = File::open(path).map_err(|e| io::Error::other(format!("cannot be read: {e}")))?;
    let found = file.metadata()?;
    if !found.is_file() {
        return no("is no regular file");
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me && found.uid() != 0 {
        return no("belongs to another user");
    }
    // A credential of systemd is 0440 of root's, readable by its service through an ACL: its
    // directory is what keeps others out.
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|dir| path == Path::new(&dir).join(CREDENTIAL));
    let others = if credential { 0o007 } else { 0o077 };
    if found.mode() & others != 0 {
        return no("is open to others: chmod 600 it");
    }
    let mut text = Zeroizing::new(String::new());
    file.take(TEXT_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// A new key, as a key file holds it.
pub fn generate() -> Secret {
    let bytes = Zeroizing::new(random_bytes::<LENGTH>());
    Secret::new(STANDARD.encode(*bytes))
}

/// Makes a key file (0600). One that is there already stays as it is.
///
/// # Errors
/// `Conflict` where there is one, or it cannot be written.
pub fn write_key(path: &Path, key: &Secret) -> Result<()> {
    let write = || -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(key.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write()
        .map_err(|e| Error::conflict(format!("Cannot make the key file {}: {e}.", path.display())))
}

/// The name of the key in a file, for whoever made it.
///
/// # Errors
/// `Conflict` where the file cannot be used.
pub fn key_in(path: &Path) -> Result<String> {
    Ok(read(path)?.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_the_same_in_each_spelling_and_nothing_else_is_one() {
        let key = MasterKey::parse(generate().expose()).unwrap();
        for spelling in key.spellings() {
            assert_eq!(MasterKey::parse(spelling.expose()).unwrap().id, key.id);
        }
        for bad in [
            "",
            "short",
            &"0".repeat(63),
            &"g".repeat(64),
            &"A".repeat(40),
        ] {
            assert!(MasterKey::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_environment_wins_over_the_file_and_that_over_a_credential() {
        let dir = tempfile::tempdir().unwrap();
        let (file, credential) = (dir.path().join("file"), dir.path().join(CREDENTIAL));
        write_key(&file, &generate()).unwrap();
        write_key(&credential, &generate()).unwrap();
        let text = generate();
        let environment = |name: &str| match name {
            VARIABLE => Some(OsString::from(text.expose())),
            "CREDENTIALS_DIRECTORY" => Some(dir.path().into()),
            _ => None,
        };
        let without = |name: &str| environment(name).filter(|_| name != VARIABLE);
        let config = config::Secrets {
            master_key_file: Some(file.clone()),
            ..config::Secrets::default()
        };
        let id = |files: Files| files.read().unwrap().current.unwrap().id;
        let named = MasterKey::parse(text.expose()).unwrap().id;
        assert_eq!(id(Files::from(&config, environment)), named);
        assert_eq!(id(Files::from(&config, without)), key_in(&file).unwrap());
        let none = config::Secrets::default();
        assert_eq!(
            id(Files::from(&none, without)),
            key_in(&credential).unwrap()
        );
        assert!(
            Files::from(&none, |_| None)
                .read()
                .unwrap()
                .current
                .is_none()
        );
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_key(&path, &generate()).unwrap();
        assert!(write_key(&path, &generate()).is_err(), "it is not replaced");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = key_in(&path).unwrap_err();
        assert!(error.detail().contains("chmod 600"), "{error}");
    }
}
