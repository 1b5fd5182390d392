use crate::domain::{Secret, random_bytes};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Logins that are remembered; past that the one that was not used for longest is forgotten.
const REMEMBERED: usize = 1024;

/// Remembers logins that were right, so that a program that sends its password with each request
/// does not pay for argon2 each time. Failures are never remembered.
///
/// An entry is an HMAC over user, password and stored hash, with a key that only this process
/// knows: a changed password misses by itself, and memory holds nothing to guess against.
pub struct Verified {
    key: [u8; 32],
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    // To when it was used last, by a counter.
    used: HashMap<[u8; 32], u64>,
    counter: u64,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            key: random_bytes(),
            entries: Mutex::default(),
        }
    }
}

impl Verified {
    /// Whether exactly this was right before.
    pub fn contains(&self, user: &str, password: &Secret, hash: &Secret) -> bool {
        let tag = self.tag(user, password, hash);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.counter += 1;
        let now = entries.counter;
        match entries.used.get_mut(&tag) {
            Some(used) => {
                *used = now;
                true
            }
            None => false,
        }
    }

    /// Remembers what was found right.
    pub fn insert(&self, user: &str, password: &Secret, hash: &Secret) {
        let tag = self.tag(user, password, hash);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.counter += 1;
        let now = entries.counter;
        if entries.used.len() >= REMEMBERED
            && let Some(oldest) = entries
                .used
                .iter()
                .min_by_key(|(_, used)| **used)
                .map(|(tag, _)| *tag)
        {
            entries.used.remove(&oldest);
        }
        entries.used.insert(tag, now);
    }

    /// What stands for a login here, and tells nothing of it.
    pub fn tag(&self, user: &str, password: &Secret, hash: &Secret) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for part in [user, password.expose(), hash.expose()] {
            // The length keeps two splits of the same bytes apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_known_only_with_its_own_user_password_and_hash() {
        let verified = Verified::default();
        let secret = |text: &str| Secret::new(text);
        verified.insert("ann", &secret("pw"), &secret("h1"));
        assert!(verified.contains("ann", &secret("pw"), &secret("h1")));
        for (user, password, hash) in [
            ("bob", "pw", "h1"),
            ("ann", "px", "h1"),
            ("ann", "pw", "h2"),
            ("annp", "w", "h1"),
        ] {
            assert!(!verified.contains(user, &secret(password), &secret(hash)));
        }
    }

    #[test]
    fn the_oldest_login_is_forgotten_first() {
        let verified = Verified::default();
        let secret = Secret::new("pw");
        verified.insert("first", &secret, &secret);
        for n in 1..REMEMBERED {
            verified.insert(&n.to_string(), &secret, &secret);
        }
        assert!(verified.contains("first", &secret, &secret));
        verified.insert("one more", &secret, &secret);
        assert!(
            verified.contains("first", &secret, &secret)
                && !verified.contains("1", &secret, &secret)
        );
    }
}
