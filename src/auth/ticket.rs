//! What a browser keeps while somebody is at an OpenID provider.

use super::same;
use crate::domain::{Secret, SessionId, random_bytes, random_token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Seconds that somebody has to log in at the provider.
pub const TICKET_LIFE: i64 = 10 * 60;
/// The longest way back that is kept, in bytes: the whole has to fit into a cookie.
const NEXT: usize = 1024;
/// The most tickets that were used and whose time is not yet over.
const USED: usize = 65_536;

/// What somebody went to the provider for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// When, Unix seconds.
    at: i64,
    /// Where to go on.
    pub next: String,
    /// The session that is to be confirmed; none for a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<i64>,
}

impl Errand {
    /// One that begins now.
    pub fn new(now: i64, next: &str, confirm: Option<SessionId>) -> Self {
        let next = if next.len() <= NEXT { next } else { "/" };
        Self {
            at: now,
            next: next.to_owned(),
            confirm: confirm.map(|it| it.0),
        }
    }

    /// When it began, Unix seconds.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// The session that is to be confirmed; none for a login.
    pub fn confirms(&self) -> Option<SessionId> {
        self.confirm.map(SessionId)
    }
}

/// Makes tickets, tells its own from others, and lets each be used once.
///
/// A ticket is a cookie: 256 random bits and the errand. All that has to be kept secret or unchanged
/// until the browser is back is an HMAC (RFC 2104) over that cookie, under a key that is made anew at
/// each start: `state`, which only the browser with the cookie can bring back, and which no longer
/// fits where the errand was changed; the nonce; the PKCE verifier. So a login that was only begun
/// costs nothing here, and what was used has to be remembered for no longer than the key.
pub(super) struct Tickets {
    key: Zeroizing<[u8; 32]>,
    /// The tickets that were used, with when they were made.
    used: Mutex<HashMap<[u8; 32], i64>>,
}

/// A ticket of ours whose `state` came back.
pub(super) struct Ticket {
    id: [u8; 32],
    pub(super) errand: Errand,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

impl Tickets {
    pub(super) fn new() -> Self {
        Self {
            key: Zeroizing::new(random_bytes()),
            used: Mutex::default(),
        }
    }

    /// A new one: the cookie, and its `state`.
    pub(super) fn make(&self, errand: Errand) -> (Secret, String, Ticket) {
        let text = serde_json::to_vec(&errand).expect("texts and numbers");
        let random = random_token();
        let cookie = format!("{}.{}", random.expose(), URL_SAFE_NO_PAD.encode(text));
        let cookie = Secret::new(cookie);
        let state = self.derive(&cookie, "state");
        let ticket = self.ticket(&cookie, errand);
        (cookie, state, ticket)
    }

    /// The ticket with this `state`; none where it is not the cookie's, or is too old.
    pub(super) fn read(&self, cookie: &Secret, state: &str, now: i64) -> Option<Ticket> {
        if !same(&self.derive(cookie, "state"), state) {
            return None;
        }
        let (_, errand) = cookie.expose().split_once('.')?;
        let errand = URL_SAFE_NO_PAD.decode(errand).ok()?;
        let errand: Errand = serde_json::from_slice(&errand).ok()?;
        let fresh = (errand.at..errand.at + TICKET_LIFE).contains(&now);
        fresh.then(|| self.ticket(cookie, errand))
    }

    fn ticket(&self, cookie: &Secret, errand: Errand) -> Ticket {
        Ticket {
            id: self.mac(cookie, "used"),
            errand,
            nonce: self.derive(cookie, "nonce"),
            verifier: self.derive(cookie, "verifier"),
        }
    }

    /// Marks it as used. False where it was, or where more were used than can be remembered.
    pub(super) fn take(&self, ticket: &Ticket, now: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED {
            used.retain(|_, at| *at + TICKET_LIFE > now);
        }
        if used.len() >= USED {
            return false;
        }
        used.insert(ticket.id, ticket.errand.at).is_none()
    }

    /// It has led to nothing: there is no need to remember that.
    pub(super) fn give_back(&self, ticket: &Ticket) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove(&ticket.id);
    }

    fn derive(&self, cookie: &Secret, label: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(cookie, label))
    }

    fn mac(&self, cookie: &Secret, label: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("any length is a key");
        mac.update(label.as_bytes());
        mac.update(b"\0");
        mac.update(cookie.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_with_its_own_state_and_for_ten_minutes() {
        let tickets = Tickets::new();
        let errand = Errand::new(1000, "/tasks", Some(SessionId(7)));
        let (cookie, state, made) = tickets.make(errand.clone());
        let read = |cookie: &str, state: &str, now| tickets.read(&Secret::new(cookie), state, now);
        let text = cookie.expose();
        let found = read(text, &state, 1599).expect("it is good");
        assert_eq!(found.errand, errand);
        assert_eq!(
            (&found.nonce, &found.verifier),
            (&made.nonce, &made.verifier)
        );
        assert!(read(text, &state, 1600).is_none(), "too old");
        assert!(read(text, "", 1001).is_none());
        assert!(read("", &state, 1001).is_none());
        let (other, other_state, _) = tickets.make(errand);
        assert!(read(text, &other_state, 1001).is_none());
        assert!(read(other.expose(), &state, 1001).is_none());
        // Another errand under the same random bits.
        let (random, _) = text.split_once('.').expect("two parts");
        let (_, third) = other.expose().split_once('.').expect("two parts");
        let changed = third.replace(&third[..8], "AAAAAAAA");
        assert!(read(&format!("{random}.{changed}"), &state, 1001).is_none());
        assert!(Tickets::new().read(&cookie, &state, 1001).is_none());

        assert!(tickets.take(&found, 1001));
        assert!(!tickets.take(&found, 1001), "used");
        tickets.give_back(&found);
        assert!(tickets.take(&found, 1001));
    }

    #[test]
    fn a_way_back_that_fits_no_cookie_is_left_out() {
        let long = format!("/tasks?q={}", "x".repeat(NEXT));
        assert_eq!(Errand::new(0, &long, None).next, "/");
    }
}
