use crate::domain::{Secret, random_bytes};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;
use zxcvbn::matching::patterns::MatchPattern;

/// 19 MiB, 2 passes, 1 lane: the first choice of the OWASP password storage cheat sheet for
/// argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A work area is at least so many blocks of 1 KiB, of which those that are not used are never
/// resident. glibc gives back at once what is larger than 32 MiB; of anything smaller it learns to
/// keep it (mallopt(3), `M_MMAP_THRESHOLD`).
const GIVEN_BACK: usize = 33 * 1024;
/// The least that zxcvbn has to say of a new password, of 0 to 4: no common password, no pattern
/// with which 10^8 guesses find it.
const LEAST: zxcvbn::Score = zxcvbn::Score::Three;
/// A shorter part of a name is no word, in characters.
const WORD: usize = 3;
/// Checks that wait for their turn; more are refused before anything is hashed.
const QUEUE: usize = 32;

/// More checks wait than can be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What a check found.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The password is not the one.
    Wrong,
    /// It is. Where its hash has weaker parameters than today's, here is a new one.
    Right {
        /// The hash to store in its place.
        upgrade: Option<Secret>,
    },
}

/// Hashes and checks passwords with argon2id (RFC 9106), one at a time and off the async workers.
#[derive(Clone)]
pub struct Passwords {
    queue: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    // One work area for all who wait, given back when nobody does: at rest it would be most of the
    // server's memory.
    area: Arc<Mutex<Vec<Block>>>,
    dummy: Arc<Secret>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// Prepares the hash that unknown users are checked against: one that no password has, with
    /// the parameters of a real one.
    pub fn new() -> Self {
        Self {
            queue: Arc::new(Semaphore::new(QUEUE)),
            turn: Arc::new(Semaphore::new(1)),
            area: Arc::new(Mutex::new(Vec::new())),
            dummy: Arc::new(encode(&random_bytes::<16>(), &random_bytes::<32>())),
        }
    }

    /// The PHC string of a new password; none where it is too easy to guess for whoever knows these
    /// words.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(
        &self,
        password: &Secret,
        words: Vec<String>,
    ) -> Result<Option<Secret>, Busy> {
        let password = password.clone();
        self.work(move |area| is_hard(&password, &words).then(|| make(&password, area)))
            .await
    }

    /// The PHC string of a password made at random. Whether it is hard to guess is not asked: the
    /// dictionaries for that hold 6 MiB from their first use until the end.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash_random(&self, password: &Secret) -> Result<Secret, Busy> {
        let password = password.clone();
        self.work(move |area| make(&password, area)).await
    }

    /// Checks a password. Without a hash, for a user that does not exist, it costs the same and is
    /// wrong.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, password: &Secret, hash: Option<&Secret>) -> Result<Verdict, Busy> {
        let known = hash.is_some();
        let hash = hash.cloned().unwrap_or_else(|| Secret::clone(&self.dummy));
        let password = password.clone();
        self.work(move |area| match check(&password, &hash, area) {
            Some(weak) if known => Verdict::Right {
                upgrade: weak.then(|| make(&password, area)),
            },
            Some(_) | None => Verdict::Wrong,
        })
        .await
    }

    async fn work<T, F>(&self, f: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    {
        let place = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turn)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        let area = Arc::clone(&self.area);
        let queue = Arc::clone(&self.queue);
        tokio::task::spawn_blocking(move || {
            let mut area = area.lock().unwrap_or_else(PoisonError::into_inner);
            let value = f(&mut area);
            drop((place, turn));
            if queue.available_permits() == QUEUE {
                *area = Vec::new();
            }
            value
        })
        .await
        .map_err(|_| Busy)
    }
}

/// Whether nobody finds a password early, who knows these words. What stands in it of them adds
/// nothing: the rest has to be hard by itself, for zxcvbn counts two such words as a pattern that
/// nobody knows.
fn is_hard(password: &Secret, words: &[String]) -> bool {
    let known = known(words);
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    let hard = |text: &str| zxcvbn::zxcvbn(text, &words).score() >= LEAST;
    let password = password.expose();
    let bare = without(password, &known);
    // With other letters in their place, or backwards, it is zxcvbn that finds them.
    let found = zxcvbn::zxcvbn(&bare, &words);
    let is_known = |pattern: &MatchPattern| match pattern {
        MatchPattern::Dictionary(it) => known.contains(&it.matched_word),
        _ => false,
    };
    let rest = found.sequence().iter().filter(|it| !is_known(&it.pattern));
    let rest = Zeroizing::new(rest.map(|it| it.token.as_str()).collect::<String>());
    hard(password) && hard(&rest)
}

/// A text without these words; in small letters where one of them stood in it.
fn without(text: &str, words: &[String]) -> Zeroizing<String> {
    let small = Zeroizing::new(text.to_lowercase());
    let mut bare = small.clone();
    for word in words {
        bare = Zeroizing::new(bare.replace(word, ""));
    }
    match *bare == *small {
        true => Zeroizing::new(text.to_owned()),
        false => bare,
    }
}

/// Words and their parts, in small letters, without those that stand in anything.
fn known(words: &[String]) -> Vec<String> {
    let words = words.iter().map(|it| it.to_lowercase());
    let mut known: Vec<String> = words
        .flat_map(|word| {
            let parts = word.split(|c: char| !c.is_alphanumeric());
            let parts: Vec<_> = parts.map(str::to_owned).collect();
            std::iter::once(word).chain(parts)
        })
        .filter(|it| it.chars().count() >= WORD)
        .collect();
    // The longest first: it is taken out whole.
    known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    known.dedup();
    known
}

fn digest(
    password: &Secret,
    salt: &[u8],
    params: Params,
    length: usize,
    area: &mut Vec<Block>,
) -> Option<Vec<u8>> {
    let blocks = params.block_count();
    if area.len() < blocks {
        area.reserve(blocks.max(GIVEN_BACK));
        area.resize(blocks, Block::default());
    }
    let mut digest = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            &mut digest,
            &mut area[..blocks],
        )
        .ok()?;
    Some(digest)
}

fn params(memory: u32, passes: u32, lanes: u32) -> Option<Params> {
    Params::new(memory, passes, lanes, None).ok()
}

fn make(password: &Secret, area: &mut Vec<Block>) -> Secret {
    let salt = random_bytes::<16>();
    let digest = params(MEMORY_KIB, PASSES, LANES)
        .and_then(|params| digest(password, &salt, params, 32, area))
        .expect("the parameters are valid");
    encode(&salt, &digest)
}

/// The PHC string format: `$argon2id$v=19$m=...,t=...,p=...$SALT$HASH`.
fn encode(salt: &[u8], digest: &[u8]) -> Secret {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD as B64;
    Secret::new(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        B64.encode(salt),
        B64.encode(digest)
    ))
}

/// Whether the password is the one of this hash; where it is, whether the hash is weaker than
/// those made today.
fn check(password: &Secret, hash: &Secret, area: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash.expose()).ok()?;
    let stored = Params::try_from(&hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    if hash.algorithm != Algorithm::Argon2id.ident() || hash.version != Some(Version::V0x13.into())
    {
        return None;
    }
    let weak = stored.m_cost() < MEMORY_KIB || stored.t_cost() < PASSES;
    let digest = digest(password, salt.as_ref(), stored, expected.len(), area)?;
    bool::from(digest.ct_eq(expected.as_bytes())).then_some(weak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let passwords = Passwords::new();
        let password = Secret::new("correct horse battery");
        let hash = passwords
            .hash(&password, Vec::new())
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(
            passwords.verify(&password, Some(&hash)).await,
            Ok(Verdict::Right { upgrade: None })
        ));
        for (password, hash) in [("wrong", Some(&hash)), ("correct horse battery", None)] {
            let verdict = passwords.verify(&Secret::new(password), hash).await;
            assert!(matches!(verdict, Ok(Verdict::Wrong)));
        }
    }

    #[tokio::test]
    async fn what_is_easy_to_guess_gets_no_hash() {
        let passwords = Passwords::new();
        for (password, hard) in [
            ("password1234", false),
            ("qwertyuiop12", false),
            ("aaaaaaaaaaaaaaaa", false),
            ("wsexecantoine", false),
            ("antoine-wsexec", false),
            ("Antoine_WSEXEC_2026!", false),
            ("4nt0ine@w5exec", false),
            ("antoine.antoine.build.example.org", false),
            ("wsexec-Antoine-wsexec-Antoine", false),
            ("correct horse battery", true),
            ("antoine: correct horse battery", true),
            ("\u{e9}t\u{e9} \u{1f409} \u{4f60}\u{597d} 7 nuages", true),
        ] {
            let words = ["antoine", "wsexec", "build.example.org"];
            let words = words.map(str::to_owned).to_vec();
            let made = passwords.hash(&Secret::new(password), words).await;
            assert_eq!(made.unwrap().is_some(), hard, "{password}");
        }
    }

    #[tokio::test]
    async fn a_weaker_hash_is_upgraded_when_its_password_is_shown() {
        let passwords = Passwords::new();
        let password = Secret::new("correct horse battery");
        // m = 8 MiB, t = 1
        let salt = random_bytes::<16>();
        let mut area = Vec::new();
        let weak = digest(&password, &salt, params(8192, 1, 1).unwrap(), 32, &mut area).unwrap();
        let text = encode(&salt, &weak)
            .expose()
            .replace("m=19456,t=2", "m=8192,t=1");
        let Ok(Verdict::Right {
            upgrade: Some(strong),
        }) = passwords.verify(&password, Some(&Secret::new(text))).await
        else {
            panic!("the password is right and its hash is weak");
        };
        assert!(strong.expose().contains("m=19456,t=2,p=1"));
        assert!(matches!(
            passwords.verify(&password, Some(&strong)).await,
            Ok(Verdict::Right { upgrade: None })
        ));
    }
}
