//! The keys of the agent at `SSH_AUTH_SOCK`. A missing agent is no error.
//!
//! An agent is asked on spawned work of its own: thrussh's client for agents panics on some
//! malformed answers, and that must end the question and nothing else.

use super::handler::ClientHandler;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use thrussh::CryptoVec;
use thrussh::client::Handle;
use thrussh_keys::agent::client::AgentClient;
use thrussh_keys::encoding::Encoding;
use thrussh_keys::key::{ED25519, PublicKey};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For each answer. An agent that asks its user to confirm answers later than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the agent has to offer.
#[derive(Default)]
pub struct Offered {
    /// ed25519 and RSA keys.
    pub keys: Vec<PublicKey>,
    /// Sentences on what cannot be used.
    pub unusable: Vec<String>,
}

type Client = AgentClient<UnixStream>;

async fn ask<T: Send + 'static>(question: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let mut work = JoinSet::new();
    work.spawn(question);
    timeout(PATIENCE, work.join_next()).await.ok()??.ok()
}

async fn connect() -> Option<Client> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty())?;
    ask(Client::connect_env()).await?.ok()
}

/// Asks for the list of keys.
pub async fn offered() -> Offered {
    let Some(mut client) = connect().await else {
        return Offered::default();
    };
    match ask(async move { client.request_identities().await }).await {
        Some(Ok(keys)) => Offered {
            keys,
            unusable: Vec::new(),
        },
        _ => Offered {
            keys: Vec::new(),
            unusable: vec!["the agent does not answer".into()],
        },
    }
}

/// Logs in with a key of the agent; whether the machine took it.
pub async fn authenticate(
    handle: &mut Handle<ClientHandler>,
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
fn renamed(request: &[u8], algorithm: &str) -> Option<CryptoVec> {
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
