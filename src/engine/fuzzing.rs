//! What has to hold of the masking of secrets, whatever a script writes.

use super::redact::{Known, Masker};
use crate::domain::Secret;
use crate::domain::fuzzing::{first_line, pieces};
use tokio::time::Instant;

/// How much is written at most, in bytes: each piece is looked through for each secret.
const LONGEST: usize = 512;

/// What is masked does not depend on how the text comes, keeps its length, and leaves no secret.
///
/// # Panics
/// Where that does not hold.
pub fn secrets(data: &[u8]) {
    let (line, rest) = first_line(data);
    let written = String::from_utf8_lossy(line);
    let plain = |it: &&str| it.len() >= 8 && it.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut texts: Vec<&str> = written.split(' ').filter(plain).take(8).collect();
    texts.extend(["aaaaaaaab", "correcthorse", "correcthorsebattery"]);
    let all: Vec<Secret> = texts.iter().map(|it| Secret::new(*it)).collect();
    let known = Known::of(&all);

    let (bytes, pieces) = pieces(&rest[..rest.len().min(LONGEST)]);
    let whole = through(&known, [bytes].into_iter());
    assert_eq!(through(&known, pieces), whole);
    assert_eq!(whole.0.len(), bytes.len());
    for text in texts {
        let mut parts = whole.0.windows(text.len());
        assert!(parts.all(|part| part != text.as_bytes()), "{text} is left");
    }
}

/// What comes of these pieces, and how often something was masked.
fn through<'a>(known: &Known, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, u64) {
    let mut masker = Masker::default();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(masker.take(known, piece, Instant::now()));
        assert!(masker.held() <= 1024, "{} are held back", masker.held());
    }
    out.extend(masker.rest(known));
    (out, masker.count)
}
