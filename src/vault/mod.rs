//! Secrets at rest: sealed under a master key that lies outside the store, each for one place.
//!
//! AES-256-GCM-SIV, each value under a key of its own that HKDF (RFC 5869) makes of the master key
//! and a random salt. The name of the master key, the store and the place in it are authenticated
//! with the value, so that none of them can be exchanged for another.

mod key;

pub use key::{generate, key_in, write_key};

use crate::config;
use crate::domain::{Error, Result, Sealed, Secret, random_bytes};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use key::{Files, Keys, MasterKey};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// What a sealed value begins with; then come the salt and the ciphertext with its tag.
const FORMAT: u8 = 1;
const SALT: usize = 32;
/// Keeps the keys of values apart from any other use of the master key.
const INFO: &[u8] = b"wsexec secret 1";

/// Seals and opens what a store keeps; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    store: String,
    files: Files,
    keys: Mutex<Arc<Keys>>,
}

impl Vault {
    /// The vault of the store with this UUID. Without a master key it opens and seals nothing.
    /// Blocks, as everything here may that finds its key files changed.
    ///
    /// # Errors
    /// `Conflict` with what to do where a key is configured and cannot be used.
    pub fn load(config: &config::Secrets, store: &str) -> Result<Self> {
        let files = Files::of(config);
        let keys = files.read()?;
        Ok(Self {
            inner: Arc::new(Inner {
                store: store.to_owned(),
                files,
                keys: Mutex::new(Arc::new(keys)),
            }),
        })
    }

    /// The name of the key that values are sealed under; None where there is no master key.
    pub fn current_key(&self) -> Option<String> {
        let keys = self.keys();
        keys.current.as_ref().map(|key| key.id().to_owned())
    }

    /// The names of the older keys that values may still be sealed under.
    pub fn previous_keys(&self) -> Vec<String> {
        let keys = self.keys();
        keys.previous
            .iter()
            .map(|key| key.id().to_owned())
            .collect()
    }

    /// Whether a secret can be taken.
    ///
    /// # Errors
    /// `Conflict` that says how to give a master key where there is none.
    pub fn require_key(&self) -> Result<()> {
        self.keys().current().map(|_| ())
    }

    /// The master keys themselves, as their files may spell them: for whoever masks secrets in
    /// what is shown.
    pub fn spellings(&self) -> Vec<Secret> {
        self.keys().all().flat_map(MasterKey::spellings).collect()
    }

    /// Encrypts a secret for one place, such as `identity/3/value`: it opens nowhere else.
    ///
    /// # Errors
    /// `Conflict` that says how to give a master key where there is none.
    pub fn seal(&self, place: &str, secret: &Secret) -> Result<Sealed> {
        let keys = self.keys();
        let master = keys.current()?;
        let salt: [u8; SALT] = random_bytes();
        let plain = secret.expose().as_bytes();
        let mut bytes = Vec::with_capacity(1 + SALT + plain.len() + MAX_TAG_LEN);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&salt);
        let mut sealed = Zeroizing::new(plain.to_vec());
        let tag = value_key(master, &salt)?
            .seal_in_place_separate_tag(nonce(), self.aad(master.id(), place), &mut sealed)
            .map_err(|_| Error::internal("a secret cannot be encrypted"))?;
        bytes.extend_from_slice(&sealed);
        bytes.extend_from_slice(tag.as_ref());
        Ok(Sealed {
            key: master.id().to_owned(),
            bytes,
        })
    }

    /// Decrypts what was sealed for this place.
    ///
    /// # Errors
    /// `Conflict` where its key is not known here; `Internal` where it was changed, or sealed for
    /// another place or store.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<Secret> {
        let keys = self.keys();
        let master = keys.all().find(|key| key.id() == sealed.key);
        let master = master.ok_or_else(|| {
            Error::conflict(format!(
                "A secret is encrypted under the master key {}, which this server does not have. \
                 Name its file in secrets.previous_key_files.",
                sealed.key
            ))
        })?;
        let broken = || {
            Error::internal(format!(
                "what is sealed at {place} is broken, or not from there"
            ))
        };
        let Some((&FORMAT, rest)) = sealed.bytes.split_first() else {
            return Err(broken());
        };
        let (salt, cipher) = rest.split_at_checked(SALT).ok_or_else(broken)?;
        let mut plain = Zeroizing::new(cipher.to_vec());
        let opened = value_key(master, salt)?
            .open_in_place(nonce(), self.aad(&sealed.key, place), &mut plain)
            .map_err(|_| broken())?;
        let text = std::str::from_utf8(opened).map_err(|_| broken())?;
        Ok(Secret::new(text))
    }

    /// The keys as their files are now. Where they cannot be read any more, those of before hold.
    fn keys(&self) -> Arc<Keys> {
        let mut keys = self
            .inner
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.inner.files.stamps() != keys.stamps {
            match self.inner.files.read() {
                Ok(read) => *keys = Arc::new(read),
                Err(error) => tracing::warn!(%error, "the master keys of before are used"),
            }
        }
        Arc::clone(&keys)
    }

    fn aad(&self, key: &str, place: &str) -> Aad<Vec<u8>> {
        // None of the three has a NUL in it.
        Aad::from(format!("{key}\0{}\0{place}", self.inner.store).into_bytes())
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault([redacted])")
    }
}

/// The key of one value: it seals once, so that its nonce needs no randomness.
fn value_key(master: &MasterKey, salt: &[u8]) -> Result<LessSafeKey> {
    let prk = Salt::new(HKDF_SHA256, salt).extract(master.bytes());
    let okm = prk
        .expand(&[INFO], &AES_256_GCM_SIV)
        .map_err(|_| Error::internal("no key can be derived"))?;
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;
    use std::path::Path;

    fn config(dir: &Path, name: &str) -> config::Secrets {
        let path = dir.join(name);
        if !path.exists() {
            write_key(&path, &generate()).unwrap();
        }
        config::Secrets {
            master_key_file: Some(path),
            ..config::Secrets::default()
        }
    }

    #[test]
    fn what_was_sealed_opens_at_its_place_in_its_store_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "key");
        let vault = Vault::load(&config, "store").unwrap();
        let secret = Secret::new("correct horse");
        let sealed = vault.seal("identity/1/value", &secret).unwrap();
        assert_ne!(sealed, vault.seal("identity/1/value", &secret).unwrap());
        let opened = vault.open("identity/1/value", &sealed).unwrap();
        assert_eq!(opened.expose(), "correct horse");
        assert!(vault.open("identity/2/value", &sealed).is_err());
        let other = Vault::load(&config, "other").unwrap();
        assert!(other.open("identity/1/value", &sealed).is_err());
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(vault.open("identity/1/value", &changed).is_err(), "{at}");
            changed.bytes.truncate(at);
            assert!(vault.open("identity/1/value", &changed).is_err(), "{at}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_sealed_and_the_error_says_how_to_give_one() {
        let vault = Vault::load(&config::Secrets::default(), "store").unwrap();
        let error = vault.seal("a", &Secret::new("12345678")).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.detail().contains("wsexec secrets init"), "{error}");
    }

    #[test]
    fn an_older_key_still_opens_and_a_changed_file_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "key");
        let vault = Vault::load(&config, "store").unwrap();
        let sealed = vault.seal("a", &Secret::new("12345678")).unwrap();
        let old = dir.path().join("old");
        config.previous_key_files.push(old.clone());
        let running = Vault::load(&config, "store");
        assert_eq!(
            running.unwrap_err().kind(),
            Kind::Conflict,
            "a named file is missing"
        );

        std::fs::rename(dir.path().join("key"), &old).unwrap();
        write_key(&dir.path().join("key"), &generate()).unwrap();
        let newer = Vault::load(&config, "store").unwrap();
        assert_eq!(newer.open("a", &sealed).unwrap().expose(), "12345678");
        let resealed = newer.seal("a", &Secret::new("12345678")).unwrap();
        assert_ne!(resealed.key, sealed.key);
        assert_eq!(vault.open("a", &resealed).unwrap().expose(), "12345678");
    }
}
