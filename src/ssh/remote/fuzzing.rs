//! What has to hold of what shells of ours say on a machine, whatever comes.

use super::detached::read_state;
use super::hear::{Ear, Said};
use crate::domain::fuzzing::{first, is_sentence, pieces};
use crate::ssh::Event;

const NONCE: &str = "NONCE";

/// The same is heard however it comes in pieces; nothing of what others print is lost.
///
/// # Panics
/// Where that does not hold.
pub(in crate::ssh) fn heard(data: &[u8]) {
    let (terminal, rest) = first(data);
    let terminal = terminal % 2 == 1;
    let (bytes, pieces) = pieces(rest);
    let (said, left) = listen(terminal, [bytes].into_iter());
    let mut taken = 0;
    for one in &said {
        match one {
            Said::Ready(Some(process)) => {
                assert!(process.pid > 1 && process.boot.len() == 36, "{process:?}");
                let told = process.connection.as_deref().unwrap_or("1 2 3 4");
                assert!(
                    is_sentence(told, 256) && told.split(' ').count() == 4,
                    "{told}"
                );
            }
            Said::Failed(why) => assert!(why.is_empty() || is_sentence(why, 4 * 300), "{why:?}"),
            Said::Ready(None) | Said::Begun | Said::Prompt => {}
        }
        taken += NONCE.len() + 1;
    }
    assert!(
        left.len() + taken <= bytes.len().max(left.len()),
        "more than there was"
    );
    assert!(!said.is_empty() || left == bytes, "something is lost");
    assert_eq!(listen(terminal, pieces), (said, left));
}

fn listen<'a>(terminal: bool, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Said>, Vec<u8>) {
    let mut ear = Ear::new(NONCE.into(), terminal);
    let mut said = Vec::new();
    for piece in pieces {
        let data = piece.to_vec().into();
        let event = match terminal {
            true => Event::Stdout(data),
            false => Event::Stderr(data),
        };
        ear.hears(event).expect("it is no end");
        while let Some(next) = ear.said(None) {
            said.push(next);
        }
    }
    let mut left = Vec::new();
    for event in ear.rest() {
        if let Event::Stdout(data) | Event::Stderr(data) = event {
            left.extend_from_slice(&data);
        }
    }
    (said, left)
}

/// What a machine says that it kept of a run fits together, and into what is counted with.
///
/// # Panics
/// Where that does not hold.
pub(in crate::ssh) fn state(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(state) = read_state(&text) else {
        return;
    };
    let mut all = 0_u64;
    for kept in state.streams {
        assert!(kept.head <= state.cap, "{kept:?}");
        assert!(
            kept.total
                .is_none_or(|total| kept.tail == 0 || kept.head + kept.tail <= total)
        );
        assert!(kept.tail == 0 || kept.total.is_some());
        all += kept.head + kept.tail;
    }
    assert!(all <= 2 * (4096 + 2) * 1024 * 1024, "{all}");
    assert_eq!(text.split(' ').count(), 16, "{text}");
}

/// Words that a reason repeats are on one line, whole, and few.
///
/// # Panics
/// Where that does not hold.
pub(in crate::ssh) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for shown in [super::words(data), super::first_words(data)] {
        assert!(
            shown.is_empty() || is_sentence(&shown, 4 * super::WORDS),
            "{shown:?}"
        );
        assert!(shown.chars().count() <= super::WORDS);
        for word in shown.split(' ').filter(|word| word.is_ascii()) {
            let is_whole = |it: &str| {
                it.split(|c: char| c.is_control() || c.is_whitespace() || c == '\u{fffd}')
                    .any(|it| it == word)
            };
            assert!(word.is_empty() || is_whole(&text), "{word:?} of {text:?}");
        }
    }
}
