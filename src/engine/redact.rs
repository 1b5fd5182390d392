//! Takes secrets out of what scripts write, before it is stored or shown: plain, in base64 and in
//! hexadecimal digits, and across the borders of what comes at once.

use super::Shared;
use crate::domain::Secret;
use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

/// The shortest text that is masked, in bytes: no shorter than [`MASK`].
const MIN: usize = 8;
/// The shortest line of a secret that is masked by itself, in bytes.
const LINE: usize = 20;
/// What is longer than the first of these is looked for in pieces of the second, in bytes.
const LONG: usize = 96;
const PIECE: usize = 48;
/// What stands in the place of a secret. It is drawn out to the secret's own length, so that
/// offsets into what came are offsets into what is stored, whichever server reads on.
const MASK: &[u8] = b"[masked]";
const FILL: u8 = b'.';
/// How long the end of what came may be held back.
pub const HOLD: Duration = Duration::from_millis(500);
/// How often it is looked for identities that another process has made.
const LOOK: Duration = Duration::from_secs(2);

/// What is looked for.
#[derive(Default)]
pub struct Known {
    search: Option<AhoCorasick>,
    /// The patterns, sorted, to tell what may be the beginning of one.
    patterns: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
}

impl Known {
    /// All spellings of these secrets.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut all = HashSet::new();
        for secret in secrets {
            let text = secret.expose();
            add(text.as_bytes(), &mut all);
            // As a shell's substitution gives it.
            add(text.trim_end().as_bytes(), &mut all);
            if text.contains('\n') {
                let lines = text
                    .lines()
                    .map(str::trim)
                    .filter(|line| line.len() >= LINE);
                let lines = lines.filter(|line| !line.starts_with("-----"));
                lines.for_each(|line| add(line.as_bytes(), &mut all));
            }
        }
        let mut patterns: Vec<_> = all.into_iter().map(Zeroizing::new).collect();
        patterns.sort_unstable_by(|a, b| a.as_slice().cmp(b.as_slice()));
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // What skips to the next likely place finds one in every line of a text.
            .prefilter(false)
            .build(patterns.iter().map(|it| it.as_slice()));
        Self {
            longest: patterns.iter().map(|it| it.len()).max().unwrap_or(0),
            search: search
                .inspect_err(|error| tracing::error!(%error, "cannot mask secrets"))
                .ok()
                .filter(|_| !patterns.is_empty()),
            patterns,
        }
    }

    /// The text with every secret masked.
    pub fn mask(&self, text: &str) -> String {
        let mut masker = Masker::default();
        let mut out = masker.take(self, text.as_bytes(), Instant::now());
        out.extend(masker.rest(self));
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Where the end begins that may be the beginning of a secret.
    fn open(&self, bytes: &[u8], from: usize) -> usize {
        let from = from.max(bytes.len().saturating_sub(self.longest.saturating_sub(1)));
        let is_open = |at: &usize| {
            let end = &bytes[*at..];
            let first = self.patterns.partition_point(|it| it.as_slice() < end);
            let longer = |it: &&Zeroizing<Vec<u8>>| it.len() > end.len() && it.starts_with(end);
            // The text itself stands before those that go on behind it.
            self.patterns[first..].iter().take(2).any(|it| longer(&it))
        };
        (from..bytes.len()).find(is_open).unwrap_or(bytes.len())
    }

    /// Masks all that is whole, and gives how often.
    fn mask_whole(&self, bytes: &mut [u8], to: usize) -> (usize, u64) {
        let Some(search) = &self.search else {
            return (bytes.len(), 0);
        };
        let (mut open, mut count, mut done) = (to, 0, 0);
        let found: Vec<_> = search.find_iter(&*bytes).map(|it| it.range()).collect();
        for range in found {
            if open < done {
                open = self.open(bytes, done);
            }
            if range.start >= open {
                break;
            }
            done = range.end;
            count += 1;
            let place = &mut bytes[range];
            place.fill(FILL);
            let last = place.len() - 1;
            place[..MASK.len() - 1].copy_from_slice(&MASK[..MASK.len() - 1]);
            place[last] = MASK[MASK.len() - 1];
        }
        if open < done {
            open = self.open(bytes, done);
        }
        (open, count)
    }
}

/// Adds a secret, or its pieces where it is long.
fn add(secret: &[u8], into: &mut HashSet<Vec<u8>>) {
    if secret.len() <= LONG {
        return spell(secret, into);
    }
    // The last one takes what no piece is left for.
    let (pieces, last) = secret.split_at((secret.len() / PIECE - 1) * PIECE);
    for piece in pieces.chunks_exact(PIECE) {
        spell(piece, into);
    }
    spell(last, into);
}

/// Adds a secret as it may be written: as it is, in base64 at each of three places (RFC 4648
/// sections 4 and 5), in hexadecimal digits of either case.
fn spell(secret: &[u8], into: &mut HashSet<Vec<u8>>) {
    if secret.len() < MIN {
        return;
    }
    into.insert(secret.to_vec());
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        let digit = |it: u8| digits[usize::from(it)];
        let hex = secret.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]);
        into.insert(hex.collect());
    }
    for before in 0..3 {
        let mut padded = Zeroizing::new(vec![0; before]);
        padded.extend_from_slice(secret);
        // Digits that hold bits of what stands before or behind are left out.
        let (from, to) = ((before * 8_usize).div_ceil(6), padded.len() * 8 / 6);
        for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = Zeroizing::new(alphabet.encode(&*padded).into_bytes());
            if to - from >= MIN {
                into.insert(text[from..to].to_vec());
            }
        }
    }
}

/// One stream on its way through.
#[derive(Default)]
pub struct Masker {
    held: Vec<u8>,
    since: Option<Instant>,
    /// How often something was masked.
    pub count: u64,
}

impl Masker {
    /// What can go on, of this and of what was held back.
    pub fn take(&mut self, known: &Known, bytes: &[u8], now: Instant) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let open = known.open(&all, 0);
        let (open, count) = known.mask_whole(&mut all, open);
        self.count += count;
        self.held = all.split_off(open);
        self.since = match self.since {
            _ if self.held.is_empty() => None,
            Some(since) if all.is_empty() => Some(since),
            // What is held is newer than what goes on.
            Some(_) | None => Some(now),
        };
        all
    }

    /// When what is held back is to go on whatever comes.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + HOLD)
    }

    /// What was held back.
    pub fn rest(&mut self, known: &Known) -> Vec<u8> {
        let mut rest = self.forget();
        let length = rest.len();
        self.count += known.mask_whole(&mut rest, length).1;
        rest
    }

    /// What was held back, as it came: it comes again.
    pub fn forget(&mut self) -> Vec<u8> {
        self.since = None;
        std::mem::take(&mut self.held)
    }

    /// How much is held back, in bytes.
    pub fn held(&self) -> u64 {
        self.held.len() as u64
    }
}

/// Keeps what is known up to date with identities that another process makes.
pub async fn keep(shared: Arc<Shared>) {
    let mut stamp = None;
    loop {
        match shared.store.identities_stamp().await {
            Ok(now) if stamp != Some(now) => {
                refresh(&shared).await;
                stamp = Some(now);
            }
            Ok(_) | Err(_) => {}
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}

/// Reads all secrets again: they are masked from the next bytes on.
pub async fn refresh(shared: &Shared) {
    let sealed = match shared.store.all_sealed().await {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "cannot read the secrets that are to be masked");
            return;
        }
    };
    let (vault, connector) = (shared.vault.clone(), shared.connector.clone());
    let build = move || {
        let mut secrets = vault.spellings();
        secrets.extend(connector.secrets());
        for (place, sealed) in sealed {
            match vault.open(&place.to_string(), &sealed) {
                Ok(secret) => secrets.push(secret),
                Err(error) => {
                    tracing::warn!(%place, %error, "a secret cannot be opened, so it is not masked");
                }
            }
        }
        Known::of(&secrets)
    };
    if let Ok(known) = tokio::task::spawn_blocking(build).await {
        *shared.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(secrets: &[&str]) -> Known {
        let secrets: Vec<_> = secrets.iter().map(|it| Secret::new(*it)).collect();
        Known::of(&secrets)
    }

    /// What comes of these chunks, and how often something was masked.
    fn through(known: &Known, chunks: &[&[u8]]) -> (String, u64) {
        let mut masker = Masker::default();
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(masker.take(known, chunk, Instant::now()));
        }
        out.extend(masker.rest(known));
        (String::from_utf8(out).unwrap(), masker.count)
    }

    #[test]
    fn a_secret_is_masked_wherever_the_chunks_part_and_the_length_stays() {
        let known = known(&["correct-horse", "correct-horse-battery", "aaaaaaaab"]);
        let text = "x correct-horse y correct-horse-battery z aaaaaaaaaaab correct-hors";
        let expected = "x [masked.....] y [masked.............] z aaa[masked.] correct-hors";
        for at in 0..text.len() {
            for to in at..text.len() {
                let t = text.as_bytes();
                let (out, count) = through(&known, &[&t[..at], &t[at..to], &t[to..]]);
                assert_eq!((out.as_str(), count), (expected, 3), "{at} {to}");
            }
        }
    }

    #[test]
    fn every_spelling_is_masked() {
        let secret = "s3cret/with+odd~bytes";
        let known = known(&[secret]);
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        let mut texts = vec![hex.to_uppercase(), hex];
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "x", "yz", "\n"] {
                for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    texts.push(alphabet.encode(format!("{before}{secret}{after}")));
                }
            }
        }
        for text in texts {
            let (out, count) = through(&known, &[text.as_bytes()]);
            assert_eq!(count, 1, "{text} gives {out}");
            assert!(out.contains("[masked"), "{out}");
        }
    }

    #[test]
    fn a_long_secret_is_masked_in_pieces_and_a_key_line_by_line() {
        let long: String = (0..200).map(|n| format!("{n:03}")).collect();
        let (out, _) = through(&known(&[&long]), &[long.as_bytes()]);
        assert!(!out.contains(|c: char| c.is_ascii_digit()), "{out}");
        let key = "-----BEGIN X-----\nabcdefghijklmnopqrstuvwxyz\n-----END X-----\n";
        let (out, count) = through(&known(&[key]), &[b"> abcdefghijklmnopqrstuvwxyz <"]);
        assert_eq!((out.as_str(), count), ("> [masked..................] <", 1));
    }

    #[test]
    fn only_what_may_be_the_beginning_of_a_secret_is_held_back() {
        let known = known(&["correct-horse"]);
        let mut masker = Masker::default();
        let now = Instant::now();
        assert_eq!(masker.take(&known, b"a corr", now), b"a ");
        assert_eq!(masker.due(), Some(now + HOLD));
        assert_eq!(masker.take(&known, b"upt", now), b"corrupt");
        assert_eq!(masker.due(), None);
        assert_eq!(masker.take(&Known::default(), b"all", now), b"all");
    }
}
