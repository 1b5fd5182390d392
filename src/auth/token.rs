use crate::domain::{Secret, random_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What every API token begins with, so that people and secret scanners know one when they see it:
/// `wsx_[A-Za-z0-9_-]{48}`.
const PREFIX: &str = "wsx_";
/// How much of SHA-256 over prefix and randomness follows them, in bytes.
const CHECK: usize = 4;

/// SHA-256 of a token. A token has 256 random bits, so that nothing slower is needed: there is no
/// guessing it, with the hash or without.
pub fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// A new API token: the prefix, then 256 random bits and their checksum in URL-safe base64.
pub fn new_api_token() -> Secret {
    let random = random_bytes::<32>();
    let bytes = [&random[..], &checksum(&random)].concat();
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether it can be an API token at all.
pub fn is_api_token(token: &Secret) -> bool {
    let encoded = token.expose().strip_prefix(PREFIX);
    let bytes = encoded.and_then(|it| URL_SAFE_NO_PAD.decode(it).ok());
    bytes
        .as_ref()
        .and_then(|bytes| bytes.split_first_chunk::<32>())
        .is_some_and(|(random, check)| check == checksum(random))
}

pub(super) fn checksum(random: &[u8; 32]) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(PREFIX).chain_update(random);
    let digest: [u8; 32] = digest.finalize().into();
    std::array::from_fn(|place| digest[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_what_it_is_and_a_mistyped_one_that_it_is_none() {
        let token = new_api_token();
        let text = token.expose();
        assert!(text.starts_with("wsx_") && text.len() == 52, "{text}");
        assert!(is_api_token(&token));
        let other = if text.ends_with('A') { "B" } else { "A" };
        let mistyped = format!("{}{other}", &text[..51]);
        for bad in [&mistyped, &text[..51], &text[4..], "", "wsx_"] {
            assert!(!is_api_token(&Secret::new(bad)), "{bad}");
        }
    }
}
