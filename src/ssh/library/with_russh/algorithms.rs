//! The algorithms that russh offers, and to whom.

use crate::ssh::host_keys::Rules;
use crate::ssh::library::Width;
use crate::ssh::offers::Algorithms;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};
use std::borrow::Cow;

/// Nothing with SHA-1, nothing that ends in `cbc`, no groups under 2048 bits.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G14_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_GEX_SHA256,
    kex::DH_G15_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G18_SHA512,
];
const KEX_OF_NIST: &[kex::Name] = &[
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
];
/// No key exchange, but what is said of it along with the list.
const KEX_MARKS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const MACS: &[mac::Name] = &[
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512,
    mac::HMAC_SHA256,
];
const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// What is offered to a machine, in the order in which it is preferred.
pub(super) fn preferred(rules: &Rules, width: Width) -> Preferred {
    let offered = |key: &Algorithm| {
        width == Width::Wide || !matches!(key, Algorithm::Ecdsa { .. }) || rules.prefers(kind(key))
    };
    let mut key: Vec<_> = HOST_KEYS
        .iter()
        .filter(|key| offered(key))
        .cloned()
        .collect();
    key.sort_by_key(|algorithm| !rules.prefers(kind(algorithm)));
    let certificates = match rules.wants_certificates() {
        true => HOST_KEYS,
        false => &[],
    };
    Preferred {
        kex: Cow::Owned([kex(width), KEX_MARKS.to_vec()].concat()),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Borrowed(certificates),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

fn kex(width: Width) -> Vec<kex::Name> {
    match width {
        Width::Narrow => KEX.to_vec(),
        Width::Wide => [KEX, KEX_OF_NIST].concat(),
    }
}

/// The name of the kind of key, whatever the signature is made with.
fn kind(algorithm: &Algorithm) -> &str {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa",
        other => other.as_str(),
    }
}

/// What [`preferred`] offers at most.
pub fn algorithms() -> Algorithms {
    Algorithms {
        kex: kex(Width::Wide)
            .iter()
            .map(|name| name.as_ref().into())
            .collect(),
        host_key: HOST_KEYS.iter().map(|key| key.as_str().into()).collect(),
        cipher: CIPHERS.iter().map(|name| name.as_ref().into()).collect(),
        mac: MACS.iter().map(|name| name.as_ref().into()).collect(),
    }
}
