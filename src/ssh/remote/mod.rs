//! What runs on a machine beyond a plain command: programs for its POSIX shell that any login
//! shell starts, and scripts with an environment, a directory, an interpreter, another user.
//!
//! Nothing of a program shows in the machine's list of processes, and no shell but `/bin/sh` ever
//! reads its quoting. What a machine answers is foreign: it is bounded, and read strictly.

mod become_user;
mod check;
mod deliver;
pub mod detached;
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

/// The end of what a machine printed, on one line, as a reason can repeat it.
fn words(printed: &[u8]) -> String {
    let line = visible(&printed[printed.len().saturating_sub(4 * WORDS)..]);
    let skipped = line.chars().count().saturating_sub(WORDS);
    line.chars().skip(skipped).collect()
}

/// The begin of what a program of ours said.
fn first_words(said: &[u8]) -> String {
    visible(said).chars().take(WORDS).collect()
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
