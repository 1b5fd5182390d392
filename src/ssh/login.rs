//! The key exchange, and the offer of one key after the other.

use super::host_keys::Rules;
use super::identities::{self, Offer};
use super::library::{Answer, Connection, Shared, Start, Trouble, Width};
use super::stream::{Seen, Wire};
use super::{Failure, Inner, Keys, LoginKey, agent};
use crate::domain::{HostKey, SshLibrary};
use std::sync::Arc;

/// Keys that are offered to one machine.
const MAX_KEYS: usize = 16;

/// One attempt to log in, with one library.
pub struct Login {
    pub library: SshLibrary,
    pub width: Width,
    pub rules: Rules,
    pub user: String,
    /// What is offered, of what the library can offer.
    pub offers: Vec<Offer>,
    pub shared: Arc<Shared>,
    pub seen: Arc<Seen>,
}

/// Why a login came to nothing.
pub enum NotIn {
    /// The host key is refused.
    HostKey(Failure),
    /// No key was offered yet, or none was answered to.
    Trouble(Trouble),
    /// These keys were refused. Where something is said of it, the server ended the login.
    Keys(Vec<String>, Option<Trouble>),
}

impl Login {
    /// Must not be dropped halfway: a login ends early by an end of its stream.
    pub async fn run(self, wire: Wire) -> Result<(Connection, HostKey), NotIn> {
        let start = Start {
            rules: self.rules,
            width: self.width,
            shared: self.shared.clone(),
            wire,
        };
        let started = Connection::start(self.library, start).await;
        // Whose key it is that was shown does not matter any more.
        if matches!(started, Err(Trouble::NotProved)) {
            return Err(NotIn::Trouble(Trouble::NotProved));
        }
        if let Some(refused) = refused(&self.shared, &self.seen) {
            return Err(NotIn::HostKey(refused));
        }
        let mut connection = started.map_err(NotIn::Trouble)?;
        let mut names = Vec::new();
        for offer in &self.offers {
            if connection.authenticate(&self.user, offer).await == Answer::Taken {
                // The key exchange is behind a login, so the machine has proved to hold the key.
                return match self.shared.verdict() {
                    Some(Ok(key)) => Ok((connection, key)),
                    _ => Err(NotIn::Trouble(Trouble::NotProved)),
                };
            }
            if connection.is_closed() {
                let trouble = connection.end().await;
                // Without an answer, only the server's own word for its going tells it from a
                // connection that broke.
                if names.is_empty() && trouble != Trouble::Left {
                    return Err(NotIn::Trouble(trouble));
                }
                names.push(offer.name());
                return Err(NotIn::Keys(names, Some(trouble)));
            }
            names.push(offer.name());
        }
        Err(NotIn::Keys(names, None))
    }
}

/// The verdict against a host key. It carries the key only where the server has proved to hold it.
pub fn refused(shared: &Shared, seen: &Seen) -> Option<Failure> {
    let refused = shared.verdict()?.err()?;
    Some(Failure {
        shown: refused.shown.filter(|_| seen.has_proved()),
        ..refused
    })
}

/// What was tried, for the sentence that says why nothing helped.
#[derive(Default)]
pub struct Tried {
    /// Keys that the machine answered to.
    pub refused: Vec<String>,
    /// Why others could not be offered.
    pub unusable: Vec<String>,
}

/// What a login offers, in words.
pub(super) async fn keys(inner: &Inner) -> Keys {
    let (offers, tried) = offers(inner, None).await;
    Keys {
        usable: offers.iter().map(Offer::name).collect(),
        unusable: tried.unusable,
    }
}

/// All that there is to offer, or the one key that was asked for, and what cannot be.
pub(super) async fn offers(inner: &Inner, only: Option<&LoginKey>) -> (Vec<Offer>, Tried) {
    let loaded = match only {
        Some(key) => identities::only(key.clone()).await,
        None => inner.identities.load().await,
    };
    let mut tried = Tried {
        refused: Vec::new(),
        unusable: loaded.unusable,
    };
    let mut offers = loaded.offers;
    if only.is_none() && inner.identities.are_usual() {
        let offered = agent::offered().await;
        tried.unusable.extend(offered.unusable);
        for key in offered.keys {
            let has = |offer: &Offer| matches!(offer, Offer::File(f) if key.is(&f.fingerprint));
            if !offers.iter().any(has) {
                offers.push(Offer::Agent(key));
            }
        }
    }
    let unfit = |offer: &Offer| !inner.libraries.iter().any(|library| offer.fits(*library));
    for offer in offers.extract_if(.., |offer| unfit(offer)) {
        tried.unusable.push(format!(
            "{}: only russh can offer it (ssh.library)",
            offer.name()
        ));
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
