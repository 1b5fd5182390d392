use crate::domain::{Secret, random_bytes};
use sha2::{Digest, Sha256};
use totp_rs::{Algorithm, Builder, Secret as Shared};

/// Seconds that a code lasts, and how many such steps a clock may be off (RFC 6238 section 5.2).
const STEP: u64 = 30;
const SKEW: u16 = 1;
/// What an authenticator shows beside the name.
const ISSUER: &str = "WSEXEC";

/// What an authenticator is told: 160 random bits (RFC 4226 section 4) in base32.
pub fn new_totp_secret() -> Secret {
    Secret::new(Shared::new_stack(random_bytes::<20>()).to_base32())
}

/// The address of a secret that authenticators read as a QR code. None where the secret is none.
pub fn totp_url(secret: &Secret, name: &str) -> Option<Secret> {
    // A colon ends the issuer there.
    let name = name.replace(':', "_");
    let url = totp(secret)?.with_account_name(name).build().ok()?;
    url.to_url().ok().map(Secret::new)
}

/// The step of time whose code it is, at most one off from now (RFC 6238, SHA-1, six digits). None
/// where it is no code of this secret now. That no step is taken twice is the caller's to see to.
pub fn totp_step(secret: &Secret, code: &str, now: i64) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let totp = totp(secret)?.with_account_name("_").build().ok()?;
    let step = totp.check(&digits, u64::try_from(now).ok()?)?;
    i64::try_from(step).ok()
}

fn totp(secret: &Secret) -> Option<Builder> {
    let shared = Shared::try_from_base32(secret.expose()).ok()?;
    Some(
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(STEP)
            .with_skew(SKEW)
            .with_issuer(Some(ISSUER))
            .with_secret(shared),
    )
}

/// How many recovery codes there are.
const CODES: usize = 10;
/// Without those that are taken for another: I, L, O and U (Crockford's base32).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Codes to write down, for whoever has lost the authenticator: 120 random bits each.
pub fn new_recovery_codes() -> Vec<Secret> {
    let code = |_| {
        let letters = random_bytes::<24>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
        let groups: Vec<String> = letters.chunks(4).map(|it| it.iter().collect()).collect();
        Secret::new(groups.join("-"))
    };
    (0..CODES).map(code).collect()
}

/// SHA-256 of a recovery code however it was typed. It has 120 random bits, so that nothing slower
/// is needed (OWASP ASVS 5.0, 6.5.2).
pub fn hash_recovery_code(code: &str) -> [u8; 32] {
    let plain: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            c => c,
        })
        .collect();
    Sha256::digest(plain.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_that_of_the_standard_and_good_for_one_step_around() {
        // RFC 6238 appendix B: the secret is the ASCII text, at 59 s the code ends in 287082.
        let secret = Secret::new(Shared::new(b"12345678901234567890"[..].into()).to_base32());
        assert_eq!(totp_step(&secret, "287082", 59), Some(1));
        assert_eq!(totp_step(&secret, "287 082", 89), Some(1));
        assert_eq!(totp_step(&secret, "287082", 0), Some(1));
        assert_eq!(totp_step(&secret, "287082", 90), None);
        for wrong in ["287083", "", "28708", "+87082", "94287082", "２８７０８２"] {
            assert_eq!(totp_step(&secret, wrong, 59), None, "{wrong}");
        }
    }

    #[test]
    fn an_authenticator_is_told_who_and_where() {
        let secret = new_totp_secret();
        assert_eq!(secret.expose().len(), 32);
        let url = totp_url(&secret, "ann").expect("a secret of ours");
        assert!(
            url.expose()
                .starts_with("otpauth://totp/WSEXEC:ann?secret=")
        );
        assert!(url.expose().contains("issuer=WSEXEC"));
    }

    #[test]
    fn a_recovery_code_is_the_same_however_it_is_typed() {
        let codes = new_recovery_codes();
        assert_eq!(codes.len(), 10);
        assert_eq!(codes[0].expose().len(), 29);
        assert_ne!(codes[0].expose(), codes[1].expose());
        let typed = codes[0].expose().to_uppercase().replace('-', " ");
        assert_eq!(
            hash_recovery_code(&typed),
            hash_recovery_code(codes[0].expose())
        );
        assert_eq!(hash_recovery_code("O0iL"), hash_recovery_code("0011"));
    }
}
