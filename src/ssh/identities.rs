//! The private keys that we log in with: which files, and how they are read.

use super::agent::AgentKey;
use super::certificates;
use super::files::{self, Parsed};
use super::host_keys::fingerprint;
use super::keys::{self, LoginKey};
use crate::domain::{Secret, SshLibrary};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::ssh_key::{LineEnding, Mpint, Signature};
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, signature};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thrussh_keys::key::{KeyPair, SignatureHash, ed25519};
use zeroize::Zeroizing;

const LIMIT: u64 = 64 * 1024;
/// The usual files, in the order in which they are offered.
const USUAL: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// What the file of a key's certificate has after the key's own name, as `ssh-keygen` names it.
const CERTIFICATE: &str = "-cert.pub";

/// A key that can be offered to a machine.
#[derive(Clone)]
pub struct Identity {
    /// The file's name without its directory.
    pub name: String,
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
    pub key: Arc<PrivateKey>,
    /// The same, where thrussh can use it.
    pub thrussh: Option<Arc<KeyPair>>,
}

impl Identity {
    pub(super) fn of(name: &str, key: PrivateKey) -> Result<Self, Unusable> {
        let blob = key.public_key().to_bytes();
        let blob = blob.map_err(|_| Unusable::not_a_key())?;
        Ok(Self {
            name: name.to_owned(),
            fingerprint: fingerprint(&blob),
            thrussh: for_thrussh(&key).map(Arc::new),
            key: Arc::new(key),
        })
    }
}

/// Something to log in with.
#[derive(Clone)]
pub enum Offer {
    File(Identity),
    /// A user certificate for this key.
    Certificate(Identity, Arc<Certificate>),
    Agent(Arc<AgentKey>),
}

impl Offer {
    /// In words for a person.
    pub fn name(&self) -> String {
        match self {
            Self::File(identity) => format!("{} ({})", identity.name, identity.fingerprint),
            Self::Certificate(identity, _) => format!(
                "{}{CERTIFICATE} (for {})",
                identity.name, identity.fingerprint
            ),
            Self::Agent(key) => key.name(),
        }
    }

    /// Whether a library can offer it.
    pub fn fits(&self, library: SshLibrary) -> bool {
        match (library, self) {
            (SshLibrary::Russh, _) => true,
            (SshLibrary::Thrussh, Self::File(identity)) => identity.thrussh.is_some(),
            (SshLibrary::Thrussh, Self::Agent(key)) => key.for_thrussh().is_some(),
            (SshLibrary::Thrussh, Self::Certificate(..)) => false,
        }
    }
}

/// Signs as an agent would: what comes back is the request with the signature. RSA is OpenSSL's
/// business, whose private operations take the same time whatever the key.
pub struct FileSigner(pub Arc<PrivateKey>);

impl russh::Signer for FileSigner {
    type Error = russh::AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &russh::keys::agent::AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let signed = match self.0.key_data() {
            KeypairData::Rsa(key) => rsa_signature(key, hash, &to_sign),
            key => signature::Signer::try_sign(key, &to_sign).ok(),
        };
        let signed = signed.ok_or(russh::keys::Error::InvalidSignature)?;
        let signed = Vec::<u8>::try_from(signed).map_err(russh::keys::Error::from)?;
        to_sign.extend_from_slice(&(signed.len() as u32).to_be_bytes());
        to_sign.extend_from_slice(&signed);
        Ok(to_sign)
    }
}

/// RFC 8332 section 3.
fn rsa_signature(key: &RsaKeypair, hash: Option<HashAlg>, to_sign: &[u8]) -> Option<Signature> {
    let number = |it: &Mpint| BigNum::from_slice(it.as_positive_bytes()?).ok();
    let (public, private) = (key.public(), key.private());
    let (d, p, q) = (
        number(private.d())?,
        number(private.p())?,
        number(private.q())?,
    );
    let mut context = BigNumContext::new_secure().ok()?;
    let mut less_one = |prime: &BigNumRef| {
        let mut rest = BigNum::new_secure().ok()?;
        let mut smaller = prime.to_owned().ok()?;
        smaller.sub_word(1).ok()?;
        rest.nnmod(&d, &smaller, &mut context).ok()?;
        Some(rest)
    };
    let (dmp1, dmq1) = (less_one(&p)?, less_one(&q)?);
    let (n, e, iqmp) = (
        number(public.n())?,
        number(public.e())?,
        number(private.iqmp())?,
    );
    let key = Rsa::from_private_components(n, e, d, p, q, dmp1, dmq1, iqmp).ok()?;
    let key = PKey::from_rsa(key).ok()?;
    let (digest, hash) = match hash {
        Some(HashAlg::Sha256) => (MessageDigest::sha256(), HashAlg::Sha256),
        _ => (MessageDigest::sha512(), HashAlg::Sha512),
    };
    let mut signer = openssl::sign::Signer::new(digest, &key).ok()?;
    let signed = signer.sign_oneshot_to_vec(to_sign).ok()?;
    Signature::new(Algorithm::Rsa { hash: Some(hash) }, signed).ok()
}

/// What the files gave: what can be offered, and a sentence for each file that gave nothing.
#[derive(Default)]
pub struct Loaded {
    pub offers: Vec<Offer>,
    pub unusable: Vec<String>,
}

/// Where the keys are.
pub struct Identities {
    files: Arc<Files>,
}

struct Files {
    configured: Vec<PathBuf>,
    passphrase_file: Option<PathBuf>,
    passphrase: Option<Secret>,
    parsed: Parsed<Identity>,
    certificates: Parsed<Certificate>,
}

impl Identities {
    pub fn new(
        configured: Vec<PathBuf>,
        passphrase_file: Option<PathBuf>,
        passphrase: Option<Secret>,
    ) -> Self {
        Self {
            files: Arc::new(Files {
                configured,
                passphrase_file,
                passphrase,
                parsed: Parsed::new(),
                certificates: Parsed::new(),
            }),
        }
    }

    /// Whether the usual places are to be looked in, the agent among them.
    pub fn are_usual(&self) -> bool {
        self.files.configured.is_empty()
    }

    /// The texts of the keys, and what opens them. Blocks.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        let passphrase = self.files.passphrase().ok().flatten();
        let read = |path: PathBuf| {
            let file = std::fs::File::open(path).ok()?;
            let metadata = file.metadata().ok()?;
            let bytes = Zeroizing::new(files::read_bounded(file, &metadata, LIMIT).ok()?);
            Some(Secret::new(std::str::from_utf8(&bytes).ok()?))
        };
        self.files
            .paths()
            .into_iter()
            .filter_map(read)
            .chain(passphrase)
    }

    /// Reads what has changed since the last time.
    pub async fn load(&self) -> Loaded {
        let files = self.files.clone();
        // A panic in a key parser counts as a file that cannot be used.
        tokio::task::spawn_blocking(move || files.load())
            .await
            .unwrap_or_else(|_| Loaded {
                offers: Vec::new(),
                unusable: vec!["the key files cannot be parsed".into()],
            })
    }
}

/// This key alone.
pub async fn only(key: LoginKey) -> Loaded {
    let name = key.name.clone();
    let opened = tokio::task::spawn_blocking(move || key.open()).await;
    let mut loaded = Loaded::default();
    match opened.unwrap_or_else(|_| Err(Unusable::not_a_key())) {
        Ok(identity) => loaded.offers.push(Offer::File(identity)),
        Err(unusable) => loaded.unusable.push(format!("{name} {}", unusable.why())),
    }
    loaded
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        let usual = USUAL.iter().filter_map(|name| files::in_dot_ssh(name));
        usual.filter(|path| path.exists()).collect()
    }

    fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for path in self.paths() {
            self.take(&path, &mut loaded);
        }
        loaded
    }

    fn take(&self, path: &Path, loaded: &mut Loaded) {
        let parse = |metadata: &Metadata, bytes: Vec<u8>| {
            self.parse(&name_of(path), metadata, Zeroizing::new(bytes))
        };
        match self.parsed.get(path, LIMIT, parse) {
            Ok(identity) => {
                self.take_certificate(path, &identity, loaded);
                loaded.offers.push(Offer::File((*identity).clone()));
            }
            Err(Unusable(why)) => loaded.unusable.push(format!("{} {why}", name_of(path))),
        }
    }

    /// The certificate beside a key, where there is one: it is offered before the key.
    fn take_certificate(&self, key: &Path, identity: &Identity, loaded: &mut Loaded) {
        let mut path = key.as_os_str().to_owned();
        path.push(CERTIFICATE);
        let path = PathBuf::from(path);
        if !path.exists() {
            return;
        }
        let parsed = self.certificates.get(&path, LIMIT, |_, bytes| {
            let text = String::from_utf8(bytes).map_err(|_| Unusable::not_a_certificate())?;
            Certificate::from_openssh(text.trim()).map_err(|_| Unusable::not_a_certificate())
        });
        let usable = parsed.and_then(|certificate| {
            match certificates::user_problem(&certificate, &identity.key) {
                None => Ok(certificate),
                Some(problem) => Err(Unusable(problem)),
            }
        });
        match usable {
            Ok(certificate) => {
                let offer = Offer::Certificate(identity.clone(), certificate);
                loaded.offers.push(offer);
            }
            Err(Unusable(why)) => loaded.unusable.push(format!("{} {why}", name_of(&path))),
        }
    }

    fn parse(
        &self,
        name: &str,
        metadata: &Metadata,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<Identity, Unusable> {
        if files::is_open_to_others(metadata) {
            return Err(Unusable("can be read by others (chmod 600 it)".into()));
        }
        Identity::of(name, keys::parse(&bytes, &|| self.passphrase())?)
    }

    fn passphrase(&self) -> Result<Option<Secret>, Unusable> {
        let Some(path) = &self.passphrase_file else {
            return Ok(self.passphrase.clone());
        };
        files::read_secret(path)
            .map(Some)
            .map_err(|error| Unusable(format!("needs its passphrase file: {error}")))
    }
}

/// Why a file gives no key: what follows the file's name in a sentence.
pub(super) struct Unusable(String);

impl Unusable {
    /// What is wrong, to go after a name.
    pub(super) fn why(&self) -> &str {
        &self.0
    }
    pub(super) fn needs_passphrase() -> Self {
        Self("is encrypted and no passphrase is configured".into())
    }
    pub(super) fn wrong_passphrase() -> Self {
        Self("does not open with the configured passphrase".into())
    }
    pub(super) fn too_slow() -> Self {
        Self(
            "is encrypted in a way that takes too long to open, or is not known: encrypt it anew with \
             ssh-keygen -p"
                .into(),
        )
    }
    pub(super) fn unsupported() -> Self {
        Self("is neither an ed25519, nor an ECDSA, nor an RSA key".into())
    }
    fn not_a_certificate() -> Self {
        Self("is no certificate that can be read".into())
    }
    pub(super) fn not_a_key() -> Self {
        Self("is no private key that can be read".into())
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self("is not there".into()),
            _ => Self(format!("cannot be read: {error}")),
        }
    }
}

/// The key as thrussh has it, where thrussh can use its kind.
fn for_thrussh(key: &PrivateKey) -> Option<KeyPair> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Rsa { .. } => {}
        _ => return None,
    }
    let text = key.to_openssh(LineEnding::LF).ok()?;
    thrussh_keys::decode_secret_key(&text, None)
        .ok()
        .map(with_sha2)
}

/// Servers refuse RSA signatures with SHA-1 (RFC 8332), which thrussh takes from the key.
fn with_sha2(key: KeyPair) -> KeyPair {
    match key {
        KeyPair::RSA { key, .. } => KeyPair::RSA {
            key,
            hash: SignatureHash::SHA2_512,
        },
        other => other,
    }
}

/// An ed25519 key of OpenSSL as thrussh has it.
pub(super) fn ed25519_of(key: &PKey<openssl::pkey::Private>) -> Result<KeyPair, Unusable> {
    let (Ok(seed), Ok(public)) = (key.raw_private_key(), key.raw_public_key()) else {
        return Err(Unusable::not_a_key());
    };
    let seed = Zeroizing::new(seed);
    let mut secret = ed25519::SecretKey::new_zeroed();
    if seed.len() + public.len() != secret.key.len() {
        return Err(Unusable::not_a_key());
    }
    secret.key[..seed.len()].copy_from_slice(&seed);
    secret.key[seed.len()..].copy_from_slice(&public);
    Ok(KeyPair::Ed25519(secret))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
