//! The keys of the agent at `SSH_AUTH_SOCK`. A missing agent is no error.
//!
//! An agent is asked on spawned work of its own: thrussh's client for agents panics on some
//! malformed answers, and that must end the question and nothing else.

use super::certificates;
use super::host_keys::fingerprint;
use super::library::ThrusshHandler;
use russh::client::AuthResult;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient as RusshClient;
use russh::keys::{Algorithm, HashAlg};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thrussh::CryptoVec;
use thrussh::client::Handle;
use thrussh_keys::agent::client::AgentClient;
use thrussh_keys::encoding::Encoding;
use thrussh_keys::key::{ED25519, PublicKey, parse_public_key};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For each answer. An agent that asks its user to confirm answers later than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key that an agent holds, or a certificate for one.
pub struct AgentKey {
    identity: AgentIdentity,
    /// Of the key, as `ssh-keygen -l` shows it.
    fingerprint: String,
}

impl AgentKey {
    pub(super) fn of(identity: AgentIdentity) -> Option<Self> {
        let blob = identity.public_key().to_bytes().ok()?;
        let key = Self {
            fingerprint: fingerprint(&blob),
            identity,
        };
        let known = matches!(
            key.algorithm(),
            Algorithm::Ed25519
                | Algorithm::Rsa { .. }
                | Algorithm::Ecdsa { .. }
                | Algorithm::SkEcdsaSha2NistP256
                | Algorithm::SkEd25519
        );
        known.then_some(key)
    }

    pub fn algorithm(&self) -> Algorithm {
        self.identity.public_key().algorithm()
    }

    /// In words for a person.
    pub fn name(&self) -> String {
        match &self.identity {
            AgentIdentity::PublicKey { .. } => format!("the agent's {}", self.fingerprint),
            AgentIdentity::Certificate { .. } => {
                format!("the agent's certificate for {}", self.fingerprint)
            }
        }
    }

    /// The same, where thrussh can use it.
    pub fn for_thrussh(&self) -> Option<PublicKey> {
        let AgentIdentity::PublicKey { key, .. } = &self.identity else {
            return None;
        };
        if !matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Rsa { .. }) {
            return None;
        }
        let mut key = parse_public_key(&key.to_bytes().ok()?).ok()?;
        key.set_algorithm(b"rsa-sha2-512");
        Some(key)
    }

    /// Whether it is this very key, and no certificate.
    pub fn is(&self, fingerprint: &str) -> bool {
        matches!(self.identity, AgentIdentity::PublicKey { .. }) && self.fingerprint == fingerprint
    }
}

/// What the agent has to offer.
#[derive(Default)]
pub struct Offered {
    pub keys: Vec<Arc<AgentKey>>,
    /// Sentences on what cannot be used.
    pub unusable: Vec<String>,
}

type Client = AgentClient<UnixStream>;

async fn ask<T: Send + 'static>(question: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let mut work = JoinSet::new();
    work.spawn(question);
    timeout(PATIENCE, work.join_next()).await.ok()??.ok()
}

fn socket() -> Option<PathBuf> {
    let path = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty())?;
    Some(path.into())
}

async fn connect() -> Option<Client> {
    socket()?;
    ask(Client::connect_env()).await?.ok()
}

async fn connect_by_russh() -> Option<RusshClient<UnixStream>> {
    let path = socket()?;
    ask(RusshClient::connect_uds(path)).await?.ok()
}

/// Asks for the list of keys. russh's client asks: it bounds what an agent may answer.
pub async fn offered() -> Offered {
    let Some(mut client) = connect_by_russh().await else {
        return Offered::default();
    };
    let listed = ask(async move { client.request_identities().await }).await;
    let Some(Ok(listed)) = listed else {
        return Offered {
            keys: Vec::new(),
            unusable: vec!["the agent does not answer".into()],
        };
    };
    let mut offered = Offered::default();
    for key in listed.into_iter().filter_map(AgentKey::of) {
        let problem = match &key.identity {
            AgentIdentity::Certificate { certificate, .. } => {
                certificates::out_of_time(certificate)
            }
            AgentIdentity::PublicKey { .. } => None,
        };
        match problem {
            None => offered.keys.push(Arc::new(key)),
            Some(problem) => offered.unusable.push(format!("{} {problem}", key.name())),
        }
    }
    offered
}

/// Logs in with a key or a certificate of the agent; what the machine said, if anything.
pub async fn authenticate_by_russh<H: russh::client::Handler>(
    handle: &mut russh::client::Handle<H>,
    user: &str,
    key: &AgentKey,
    hash: Option<HashAlg>,
) -> Option<AuthResult> {
    let mut signer = RusshSigner(connect_by_russh().await);
    let result = match key.identity.clone() {
        AgentIdentity::PublicKey { key, .. } => {
            let asked = handle.authenticate_publickey_with(user, key, hash, &mut signer);
            asked.await
        }
        AgentIdentity::Certificate { certificate, .. } => {
            let asked = handle.authenticate_certificate_with(user, certificate, hash, &mut signer);
            asked.await
        }
    };
    result.ok()
}

/// Signs in time, or not at all: then the next key gets its turn.
struct RusshSigner(Option<RusshClient<UnixStream>>);

impl russh::Signer for RusshSigner {
    type Error = russh::AgentAuthError;

    async fn auth_sign(
        &mut self,
        key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let failure = || russh::AgentAuthError::Key(russh::keys::Error::AgentFailure);
        let mut client = self.0.take().ok_or_else(failure)?;
        let key = key.clone();
        let signed = ask(async move { client.sign_request(&key, hash, to_sign).await }).await;
        Ok(signed.ok_or_else(failure)??)
    }
}

/// Logs in with a key of the agent; whether the machine took it.
pub async fn authenticate(
    handle: &mut Handle<ThrusshHandler>,
    user: &str,
    key: PublicKey,
) -> Result<bool, thrussh::Error> {
    let Some(client) = connect().await else {
        return Ok(false);
    };
    let signer = Signer(Some(client));
    let (_, result) = handle.authenticate_future(user, key, signer).await;
    result.map_err(|_| thrussh::Error::SendError)
}

/// Signs, and always answers in time. thrussh's session waits for the signature in a loop that
/// spins for ever where none comes, so a failure answers with a signature that the machine refuses,
/// and the next key gets its turn.
struct Signer(Option<Client>);

impl thrussh::Signer for Signer {
    type Error = thrussh::AgentAuthError;
    type Future = Pin<Box<dyn Future<Output = (Self, Result<CryptoVec, Self::Error>)> + Send>>;

    fn auth_publickey_sign(mut self, key: &PublicKey, to_sign: CryptoVec) -> Self::Future {
        let to_sign = renamed(&to_sign, key.name()).unwrap_or(to_sign);
        let client = self.0.take();
        let request = client.map(|client| client.sign_request(key, to_sign.clone()));
        Box::pin(async move {
            let signed = match request {
                Some(request) => ask(async move { request.await.1.ok() }).await.flatten(),
                None => None,
            };
            let signed = signed.filter(|signed| signed.len() > to_sign.len());
            (self, Ok(signed.unwrap_or_else(|| refused(to_sign))))
        })
    }
}

/// The request to be signed (RFC 4252 section 7) with the name of the signature algorithm that was
/// offered. thrussh writes `ssh-rsa` there for every RSA key, which is the name of the key and of
/// the SHA-1 signature that servers refuse (RFC 8332 section 3.2).
pub(super) fn renamed(request: &[u8], algorithm: &str) -> Option<CryptoVec> {
    // The strings before the name are the session id, the user, the service and `publickey`; a
    // byte stands behind the first and before the name.
    let mut at = 0;
    for byte in [1, 0, 0, 1] {
        at = behind_string(request, at)? + byte;
    }
    let mut renamed = CryptoVec::new();
    renamed.extend(request.get(..at)?);
    renamed.extend_ssh_string(algorithm.as_bytes());
    renamed.extend(request.get(behind_string(request, at)?..)?);
    Some(renamed)
}

/// Where the string that begins at `at` ends (RFC 4251 section 5).
fn behind_string(data: &[u8], at: usize) -> Option<usize> {
    let length = data.get(at..at + 4)?.try_into().ok()?;
    Some(at + 4 + u32::from_be_bytes(length) as usize)
}

/// The data with a signature of zeros (RFC 8709 section 6), which no key makes.
fn refused(mut data: CryptoVec) -> CryptoVec {
    let (name, signature) = (ED25519.0.as_bytes(), [0; 64]);
    data.push_u32_be((name.len() + signature.len() + 8) as u32);
    data.extend_ssh_string(name);
    data.extend_ssh_string(&signature);
    data
}
