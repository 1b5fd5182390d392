//! What runs on a machine beyond a plain command: programs for its POSIX shell that any login
//! shell starts, and scripts with an environment, a directory, an interpreter, another user.
//!
//! Nothing of a program shows in the machine's list of processes, and no shell but `/bin/sh` ever
//! reads its quoting. What a machine answers is foreign: it is bounded, and read strictly.

mod become_user;
mod check;
mod deliver;
pub mod detached;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::ssh) mod fuzzing;
mod hear;
mod launch;
mod secrets;
mod session;
mod terminate;

pub use check::{Findings, RemoteClock};
pub use deliver::Program;
pub use launch::Command;
pub use secrets::ScriptSecret;
pub use session::{Other, Whereabouts};
pub use terminate::{FOREIGN, Finding, Left, Located};

use super::Failure;
use crate::domain::{Outcome, random_bytes};

/// The most of a machine's own words that a reason repeats, in characters.
const WORDS: usize = 300;

/// One word for a POSIX shell, whatever it holds.
pub(in crate::ssh) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word that nobody can guess: lower-case letters, digits and `-`.
fn unguessable() -> String {
    let digits = random_bytes::<16>().map(|byte| format!("{byte:02x}"));
    format!("wsexec-{}", digits.concat())
}

/// The end of what a machine printed, on one line, as a reason can repeat it. A word is repeated
/// whole or not at all: of half a secret nobody would know that it is one.
fn words(printed: &[u8]) -> String {
    let line = visible(printed);
    let skipped = line.chars().count().saturating_sub(WORDS);
    match line.char_indices().nth(skipped) {
        Some((at, _)) if at > 0 && !line[..at].ends_with(' ') => {
            let (_, whole) = line[at..].split_once(' ').unwrap_or_default();
            whole.to_owned()
        }
        Some((at, _)) => line[at..].to_owned(),
        None => line,
    }
}

/// The begin of what a program of ours said, in whole words too.
fn first_words(said: &[u8]) -> String {
    let line = visible(said);
    match line.char_indices().nth(WORDS) {
        Some((at, next)) if next != ' ' => {
            let (whole, _) = line[..at].rsplit_once(' ').unwrap_or_default();
            whole.to_owned()
        }
        Some((at, _)) => line[..at].to_owned(),
        None => line,
    }
}

fn visible(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.replace(
        |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER,
        " ",
    );
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn start_failed(reason: impl Into<String>) -> Failure {
    Failure::new(Outcome::StartFailed, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_repeats_whole_words_of_what_a_machine_printed() {
        let long = "word ".repeat(100);
        for cut in 0..40 {
            let secret = "planted-secret";
            let end = format!("{secret} {}", "x".repeat(WORDS - cut));
            for text in [
                words(end.as_bytes()),
                words((long.clone() + &end).as_bytes()),
            ] {
                assert!(text.contains(secret) || !text.contains("secret"), "{text}");
                assert!(
                    text.ends_with('x') && text.chars().count() <= WORDS,
                    "{text}"
                );
            }
            let begin = format!("{} {secret} {long}", "x".repeat(WORDS - cut));
            let text = first_words(begin.as_bytes());
            assert!(text.contains(secret) || !text.contains("plan"), "{text}");
        }
        assert_eq!(words(&[b'x'; WORDS + 1]), "");
        assert_eq!(words(b" a\n\0b "), "a b");
        assert_eq!(first_words(&[b'x'; WORDS]), "x".repeat(WORDS));
    }
}
