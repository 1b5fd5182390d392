//! What our shells say, told apart from everything else that comes: lines with a word that nobody
//! can guess, on stderr, or on a terminal between everything else.

use super::first_words;
use crate::domain::{RemoteProcess, Secret};
use crate::ssh::Event;
use std::collections::VecDeque;

/// The most that is taken of what others print before a program begins, in bytes.
const BEFORE: usize = 1024 * 1024;
/// What a piece of it counts for beyond its bytes: one that comes in many costs more.
const PIECE: usize = 64;
/// The longest line that a shell of ours says, in bytes.
const LINE: usize = 8192;

/// What a shell of ours says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It waits for a program; the process that leads its session, where it can tell.
    Ready(Option<RemoteProcess>),
    /// The program has begun.
    Begun,
    /// The program has not, for this reason.
    Failed(String),
    /// Not the shell: the prompt for a password.
    Prompt,
}

/// Hears what is said, and keeps the rest.
pub(super) struct Ear {
    nonce: String,
    terminal: bool,
    /// The end of what came where our shells speak: perhaps the begin of a line of theirs.
    unread: Vec<u8>,
    /// What somebody else printed, for whoever reads the output.
    before: VecDeque<Event>,
    taken: usize,
    /// What was sent there and is never repeated.
    password: Option<Secret>,
}

impl Ear {
    pub fn new(nonce: String, terminal: bool) -> Self {
        Self {
            nonce,
            terminal,
            unread: Vec::new(),
            before: VecDeque::new(),
            taken: 0,
            password: None,
        }
    }

    /// From now on this is left out of [`Ear::heard`], whoever may print it.
    pub fn hide(&mut self, password: &Secret) {
        self.password = Some(password.clone());
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Takes what came, but for an end, which it gives back.
    pub fn hears(&mut self, event: Event) -> Result<(), Event> {
        match (event, self.terminal) {
            (Event::Stdout(data), true) | (Event::Stderr(data), false) => {
                self.taken += data.len() + PIECE;
                self.unread.extend_from_slice(&data);
            }
            (Event::Stdout(data), false) => {
                self.taken += data.len() + PIECE;
                self.before.push_back(Event::Stdout(data));
            }
            (Event::Stderr(data), true) => {
                self.taken += data.len() + PIECE;
                self.before.push_back(Event::Stderr(data));
            }
            (end, _) => return Err(end),
        }
        Ok(())
    }

    /// Whether more came than anybody prints who means well.
    pub fn is_full(&self) -> bool {
        self.taken > BEFORE
    }

    /// Takes the next thing that was said out of what came.
    pub fn said(&mut self, prompt: Option<&str>) -> Option<Said> {
        if let Some(prompt) = prompt
            && let Some(at) = position(&self.unread, prompt.as_bytes())
        {
            self.pass(at);
            self.unread.drain(..prompt.len());
            return Some(Said::Prompt);
        }
        let mut from = 0;
        while let Some(at) = position(&self.unread[from..], self.nonce.as_bytes()) {
            let at = from + at;
            let begin = at + self.nonce.len();
            let rest = &self.unread[begin..];
            match rest.iter().take(LINE).position(|byte| *byte == b'\n') {
                None if rest.len() < LINE => return None,
                Some(end) if let Some(said) = parse(&rest[..end]) => {
                    self.pass(at);
                    self.unread.drain(..self.nonce.len() + end + 1);
                    return Some(said);
                }
                // The line of a shell that repeats what it runs.
                _ => from = begin,
            }
        }
        None
    }

    /// Everything else that came, in a form for words and for looking through.
    pub fn heard(&self) -> Vec<u8> {
        let mut heard = Vec::new();
        for event in &self.before {
            if let Event::Stdout(data) | Event::Stderr(data) = event {
                heard.extend_from_slice(data);
            }
        }
        heard.extend_from_slice(&self.unread);
        match self.password.as_ref().map(Secret::expose) {
            None | Some("") => heard,
            Some(password) => String::from_utf8_lossy(&heard)
                .replace(password, "***")
                .into_bytes(),
        }
    }

    /// Puts aside what came so far.
    pub fn keep_apart(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.before)
    }

    /// Goes back to what was put aside: what came since is nobody's output.
    pub fn forget_all_but(&mut self, before: VecDeque<Event>) {
        self.before = before;
    }

    /// All that came of others, for whoever reads the output.
    pub fn rest(mut self) -> VecDeque<Event> {
        self.pass(self.unread.len());
        self.before
    }

    fn pass(&mut self, length: usize) {
        if length > 0 {
            let data: Vec<u8> = self.unread.drain(..length).collect();
            self.before.push_back(match self.terminal {
                true => Event::Stdout(data.into()),
                false => Event::Stderr(data.into()),
            });
        }
    }
}

/// What a line says after the word.
fn parse(line: &[u8]) -> Option<Said> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    match line.strip_prefix(' ')?.split_once(' ') {
        Some(("ready", words)) => Some(Said::Ready(process(words))),
        Some(("failed", why)) => Some(Said::Failed(first_words(why.as_bytes()))),
        None if line == " begun" => Some(Said::Begun),
        _ => None,
    }
}

/// `PID START BOOT`, and perhaps `SSH_CONNECTION`: four words. A machine without /proc tells
/// nothing of them.
fn process(ready: &str) -> Option<RemoteProcess> {
    let mut words = ready.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_default().trim();
    let (pid, started, boot, connection) = (next(), next(), next(), next());
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let told = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        plain && text.len() <= 256 && text.split(' ').count() == 4
    };
    let whole = boot.len() == 36 && boot.chars().all(is_id);
    Some(RemoteProcess {
        pid: pid.parse().ok().filter(|pid| *pid > 1 && whole)?,
        started: started.parse().ok()?,
        boot: boot.to_owned(),
        connection: told(connection).then(|| connection.to_owned()),
    })
}

fn position(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|part| part == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "528cf7f7-2b52-42ce-bf7f-ae8700ea354a";

    fn text(events: &VecDeque<Event>) -> Vec<u8> {
        let mut all = Vec::new();
        for event in events {
            let (Event::Stdout(data) | Event::Stderr(data)) = event else {
                panic!("no output");
            };
            all.extend_from_slice(data);
        }
        all
    }

    #[test]
    fn what_is_said_is_taken_out_wherever_the_pieces_end_and_nothing_else_is() {
        let came = format!(
            "+ exec sh -c x NONCE\nunfinishedNONCE ready 32406 1131968 {BOOT} ::1 5 ::1 22\n\
                            \u{1b}[0mNONCE begun\n\0rest NONCE begun\n"
        );
        let process = RemoteProcess {
            pid: 32406,
            started: 1_131_968,
            boot: BOOT.into(),
            connection: Some("::1 5 ::1 22".into()),
        };
        for border in 0..came.len() {
            let mut ear = Ear::new("NONCE".into(), false);
            let mut said = Vec::new();
            for piece in [&came.as_bytes()[..border], &came.as_bytes()[border..]] {
                ear.hears(Event::Stderr(piece.to_vec().into())).unwrap();
                // Nobody listens any more once the program has begun.
                while said.len() < 2
                    && let Some(next) = ear.said(None)
                {
                    said.push(next);
                }
            }
            assert_eq!(
                said,
                [Said::Ready(Some(process.clone())), Said::Begun],
                "{border}"
            );
            let rest = "+ exec sh -c x NONCE\nunfinished\u{1b}[0m\0rest NONCE begun\n";
            assert_eq!(text(&ear.rest()), rest.as_bytes(), "{border}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_taken_for_a_process() {
        let lies = [
            "- - - ",
            "1 5 528cf7f7-2b52-42ce-bf7f-ae8700ea354a ",
            "-7 5 528cf7f7-2b52-42ce-bf7f-ae8700ea354a ",
            "32406 5 528cf7f7-2b52-42ce-bf7f-ae8700ea354a/../../x",
            "32406 x 528cf7f7-2b52-42ce-bf7f-ae8700ea354a ",
            "99999999999 5 528cf7f7-2b52-42ce-bf7f-ae8700ea354a ",
            "",
        ];
        for lie in lies {
            assert_eq!(process(lie), None, "{lie}");
        }
    }

    #[test]
    fn a_password_that_is_printed_is_not_repeated() {
        let mut ear = Ear::new("NONCE".into(), false);
        ear.hide(&Secret::new("open sesame"));
        for piece in ["sudo: not op", "en sesame, try"] {
            ear.hears(Event::Stderr(piece.into())).unwrap();
        }
        assert_eq!(ear.heard(), b"sudo: not ***, try");
    }

    #[test]
    fn a_machine_that_says_little_in_many_pieces_is_not_heard_for_long() {
        let mut ear = Ear::new("NONCE".into(), false);
        let mut pieces = 0;
        while !ear.is_full() {
            ear.hears(Event::Stdout("x".into())).unwrap();
            pieces += 1;
        }
        assert!(pieces < 20_000, "{pieces}");
    }

    #[test]
    fn reasons_hear_visible_characters_and_few() {
        let mut ear = Ear::new("NONCE".into(), true);
        let failed = format!(
            "NONCE failed file \u{1b}[31mno \u{7}room{}\n",
            " x".repeat(1000)
        );
        ear.hears(Event::Stdout(failed.into())).unwrap();
        let Some(Said::Failed(why)) = ear.said(None) else {
            panic!("it failed");
        };
        assert!(
            why.chars().count() <= 300 && !why.contains(char::is_control),
            "{why}"
        );
    }
}
