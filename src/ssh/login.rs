//! The key exchange, and the offer of one key after the other.

use super::handler::{ClientHandler, Shared};
use super::host_keys::{Rules, fingerprint};
use super::identities::Identity;
use super::{Failure, Inner, Keys, Target, agent, reasons};
use crate::domain::HostKey;
use std::sync::Arc;
use thrussh::client::{self, Handle};
use thrussh::{Error, Preferred, mac};
use thrussh_keys::PublicKeyBase64;
use thrussh_keys::key::{KeyPair, PublicKey};
use tokio::net::TcpStream;

/// Keys that are offered to one machine.
const MAX_KEYS: usize = 16;
const CLIENT_ID: &str = concat!("SSH-2.0-wsexec_", env!("CARGO_PKG_VERSION"));

/// One attempt to log in.
pub struct Login {
    pub rules: Rules,
    pub target: Target,
    pub shared: Arc<Shared>,
    pub(super) inner: Arc<Inner>,
}

/// A key to offer, and the words for it.
enum Offer {
    File(Arc<KeyPair>),
    Agent(PublicKey),
}

/// What was tried, for the sentence that says why nothing helped.
#[derive(Default)]
pub struct Tried {
    /// Keys that the machine answered to.
    pub refused: Vec<String>,
    /// Why others could not be offered.
    pub unusable: Vec<String>,
}

impl Login {
    /// Must not be dropped halfway: a login ends early by a shutdown of its socket.
    pub async fn run(self, stream: TcpStream) -> Result<(Handle<ClientHandler>, HostKey), Failure> {
        let config = config(&self.rules);
        let handler = ClientHandler {
            rules: self.rules,
            shared: self.shared.clone(),
        };
        let handle = client::connect_stream(Arc::new(config), stream, handler).await;
        let mut handle = handle.map_err(|error| reasons::key_exchange(&self.target, &error))?;
        // thrussh hands out a handle whatever became of the key exchange.
        if let Some(Err(refused)) = self.shared.verdict() {
            return Err(refused);
        }
        if handle.is_closed() {
            let error = ended(&mut handle).await;
            return Err(reasons::key_exchange(&self.target, &error));
        }
        let (offers, mut tried) = offers(&self.inner).await;
        for (name, offer) in offers {
            if authenticate(&mut handle, &self.target.user, offer).await {
                // The key exchange is behind a login, so the machine has proved to hold the key.
                return match self.shared.verdict() {
                    Some(verdict) => Ok((handle, verdict?)),
                    None => Err(reasons::not_ssh(&self.target)),
                };
            }
            if handle.is_closed() {
                let error = ended(&mut handle).await;
                // Without an answer, only the server's own word for its going tells it from a
                // connection that broke.
                if tried.refused.is_empty() && !matches!(error, Error::Disconnect) {
                    return Err(reasons::key_exchange(&self.target, &error));
                }
                tried.refused.push(name);
                return Err(reasons::cut_off(&self.target, &tried));
            }
            tried.refused.push(name);
        }
        Err(reasons::not_authorized(&self.target, &tried))
    }
}

async fn authenticate(handle: &mut Handle<ClientHandler>, user: &str, offer: Offer) -> bool {
    let taken = match offer {
        Offer::File(key) => handle.authenticate_publickey(user, key).await,
        Offer::Agent(key) => agent::authenticate(handle, user, key).await,
    };
    taken.unwrap_or(false)
}

/// Why the connection is over, from thrussh's spawned work, which has ended. `Disconnect` where the
/// server said that it goes.
async fn ended(handle: &mut Handle<ClientHandler>) -> Error {
    handle.await.err().unwrap_or(Error::Disconnect)
}

/// What a login offers, in words.
pub(super) async fn keys(inner: &Inner) -> Keys {
    let (offers, tried) = offers(inner).await;
    Keys {
        usable: offers.into_iter().map(|(name, _)| name).collect(),
        unusable: tried.unusable,
    }
}

async fn offers(inner: &Inner) -> (Vec<(String, Offer)>, Tried) {
    let loaded = inner.identities.load().await;
    let mut tried = Tried {
        refused: Vec::new(),
        unusable: loaded.unusable,
    };
    let mut offers: Vec<(String, Offer)> = Vec::new();
    for Identity {
        name,
        fingerprint,
        key,
    } in &loaded.keys
    {
        offers.push((format!("{name} ({fingerprint})"), Offer::File(key.clone())));
    }
    if inner.identities.are_usual() {
        let offered = agent::offered().await;
        tried.unusable.extend(offered.unusable);
        for key in offered.keys {
            let fingerprint = fingerprint(&key.public_key_bytes());
            if loaded
                .keys
                .iter()
                .all(|file| file.fingerprint != fingerprint)
            {
                offers.push((format!("the agent's {fingerprint}"), Offer::Agent(key)));
            }
        }
    }
    if offers.len() > MAX_KEYS {
        let left = offers.len() - MAX_KEYS;
        tried
            .unusable
            .push(format!("{left} more keys were not tried"));
        offers.truncate(MAX_KEYS);
    }
    (offers, tried)
}

/// Strict: no MAC `none`, no compression, and nothing but what thrussh does well.
fn config(rules: &Rules) -> client::Config {
    client::Config {
        client_id: CLIENT_ID.into(),
        preferred: Preferred {
            key: rules.preferred(),
            mac: &[mac::hmac_sha256::NAME],
            compression: &["none"],
            ..Preferred::DEFAULT_CLIENT
        },
        ..client::Config::default()
    }
}
