use crate::domain::{Outcome, Stream};
use crate::ssh::{Event, Failure, Input, Running};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The most that a login shell may print before a program of ours speaks, in bytes.
const BEFORE: usize = 1024 * 1024 + 64 * 1024;
/// The longest line that a program of ours says, in bytes.
const LINE: usize = 4096;

/// A program of ours that runs, and what it says: lines that begin with a word that nobody else
/// knows. Its stdin stays open for as long as this lives, unless it was given something.
pub(super) struct Talk {
    running: Running,
    input: Option<Input>,
    nonce: String,
    /// What came and was not taken, of stdout and stderr.
    unread: [BytesMut; 2],
    /// How much of that was looked through for the nonce: what comes in small pieces is not looked
    /// through anew with each.
    looked: [usize; 2],
}

/// What comes next.
pub(super) enum Heard {
    Bytes(Stream),
    End(Event),
}

impl Talk {
    pub fn new(running: Running, input: Input, nonce: &str) -> Self {
        Self {
            running,
            input: Some(input),
            nonce: nonce.to_owned(),
            unread: Default::default(),
            looked: [0; 2],
        }
    }

    /// Gives it what it reads, to the end. One that needs no more of it has its reasons.
    pub async fn give(&mut self, data: Bytes) {
        if let Some(mut input) = self.input.take() {
            let _ = input.write(data).await;
            input.finish();
        }
    }

    /// Takes what comes next. Cancel safe.
    pub async fn hear(&mut self) -> Heard {
        let (stream, data) = match self.running.next().await {
            Event::Stdout(data) => (Stream::Stdout, data),
            Event::Stderr(data) => (Stream::Stderr, data),
            end => return Heard::End(end),
        };
        self.unread[stream as usize].extend_from_slice(&data);
        Heard::Bytes(stream)
    }

    /// All that came on one stream and was not taken.
    pub fn take(&mut self, stream: Stream) -> Bytes {
        self.looked[stream as usize] = 0;
        self.unread[stream as usize].split().freeze()
    }

    /// Finds a line of ours in what came on one stream; what stands before it is nobody's.
    pub fn find(&mut self, stream: Stream) -> Result<Option<String>, Failure> {
        let unread = &mut self.unread[stream as usize];
        let looked = &mut self.looked[stream as usize];
        let nonce = self.nonce.as_bytes();
        let mut parts = unread[*looked..].windows(nonce.len());
        let Some(at) = parts.position(|part| part == nonce) else {
            *looked = (*looked).max((unread.len() + 1).saturating_sub(nonce.len()));
            return match unread.len() > BEFORE {
                true => Err(lost(
                    "The machine printed without an end where it was to answer.",
                )),
                false => Ok(None),
            };
        };
        let _ = unread.split_to(*looked + at);
        *looked = 0;
        let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
            return match unread.len() > LINE {
                true => Err(not_understood("a line without an end")),
                false => Ok(None),
            };
        };
        let line = unread.split_to(end + 1);
        let line = String::from_utf8_lossy(&line[nonce.len()..end]).into_owned();
        Ok(Some(line.strip_prefix(' ').unwrap_or(&line).to_owned()))
    }

    /// The next line of ours on stdout.
    pub async fn said(&mut self, patience: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(line) = self.find(Stream::Stdout)? {
                return Ok(line);
            }
            self.more(deadline).await?;
        }
    }

    /// The next bytes of stdout, at least one, at most `most`.
    pub async fn bytes(&mut self, most: u64, patience: Duration) -> Result<Bytes, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let unread = &mut self.unread[Stream::Stdout as usize];
            if !unread.is_empty() {
                self.looked[Stream::Stdout as usize] = 0;
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                return Ok(unread.split_to(unread.len().min(most)).freeze());
            }
            self.more(deadline).await?;
        }
    }

    async fn more(&mut self, deadline: Instant) -> Result<(), Failure> {
        match timeout_at(deadline, self.hear()).await {
            // What goes wrong there is told on stdout too.
            Ok(Heard::Bytes(Stream::Stderr)) => {
                self.take(Stream::Stderr);
                Ok(())
            }
            Ok(Heard::Bytes(Stream::Stdout)) => Ok(()),
            Ok(Heard::End(end)) => Err(ended(&end)),
            Err(_) => Err(lost("The machine did not answer in time.")),
        }
    }
}

/// A program of ours ended before it was to.
pub(super) fn ended(end: &Event) -> Failure {
    lost(match end {
        Event::Exited(code) => {
            format!("The machine's /bin/sh ended with exit code {code} instead of an answer.")
        }
        Event::Signalled(name) => {
            format!("Signal {name} ended the machine's /bin/sh instead of an answer.")
        }
        _ => "The connection to the machine was lost.".into(),
    })
}

pub(super) fn not_understood(said: &str) -> Failure {
    let said = super::words(said.as_bytes());
    lost(format!("The machine's answer is not understood: {said}."))
}

pub(super) fn lost(reason: impl Into<String>) -> Failure {
    Failure::new(Outcome::Lost, reason)
}
