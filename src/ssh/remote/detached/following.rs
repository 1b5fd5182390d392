use super::talk::{self, Heard, Talk};
use crate::domain::Stream;
use crate::ssh::{Event, Failure};
use bytes::Bytes;

/// What a run writes, while it writes it.
pub struct Following {
    talk: Talk,
    /// Whether what comes on stdout and stderr is the run's: before that a login shell may speak.
    begun: [bool; 2],
}

/// What comes next of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// More of one stream.
    Bytes(Stream, Bytes),
    /// It is over, or looks as if it were: what is left of it is to be collected.
    Over,
    /// Nothing of it is there.
    Gone,
}

impl Following {
    pub(super) fn new(talk: Talk) -> Self {
        Self {
            talk,
            begun: [false; 2],
        }
    }

    /// What comes next. The buffer behind it is bounded: what is not taken makes the machine wait.
    /// Cancel safe.
    ///
    /// # Errors
    /// `lost` where the connection was.
    pub async fn next(&mut self) -> Result<Followed, Failure> {
        loop {
            let stream = match self.talk.hear().await {
                Heard::Bytes(stream) => stream,
                Heard::End(Event::Exited(_)) if self.begun == [true; 2] => {
                    return Ok(Followed::Over);
                }
                Heard::End(end) => return Err(talk::ended(&end)),
            };
            if !self.begun[stream as usize] {
                match self.talk.find(stream)?.as_deref() {
                    None => continue,
                    Some("gone") => return Ok(Followed::Gone),
                    Some("follow") => self.begun[stream as usize] = true,
                    Some(other) => return Err(talk::not_understood(other)),
                }
            }
            let bytes = self.talk.take(stream);
            if !bytes.is_empty() {
                return Ok(Followed::Bytes(stream, bytes));
            }
        }
    }
}
