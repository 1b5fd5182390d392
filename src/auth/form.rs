use crate::domain::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// What the forms of a session carry, from its cookie: 43 characters of URL-safe base64.
///
/// The cookie's 256 random bits are the key of an HMAC (RFC 2104): nobody without the cookie can
/// make the token, the token tells nothing of the cookie, it ends with the session, and there is
/// nothing to store.
pub fn form_token(cookie: &Secret) -> Secret {
    let mut mac = Hmac::<Sha256>::new_from_slice(cookie.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(b"wsexec form");
    Secret::new(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cookie_has_a_token_of_its_own() {
        let of = |cookie: &str| form_token(&Secret::new(cookie)).expose().to_owned();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a").len(), 43);
        assert!(same(&of("a"), &of("a")) && !same(&of("a"), &of("b")) && !same("", &of("a")));
    }
}
