use crate::domain::Secret;
use sha2::{Digest, Sha256};

/// SHA-256 of a token. A token has 256 random bits, so that nothing slower is needed: there is no
/// guessing it, with the hash or without.
pub fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}
