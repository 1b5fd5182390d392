use super::{Actor, Service};
use crate::domain::{Result, Stream, Task, TaskId};
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// Which output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One stream.
    One(Stream),
    /// Both, in the order they came.
    Both,
}

/// Reads kept output in short reads, so that it costs the same memory whatever its size.
pub struct OutputReader {}

impl OutputReader {
    /// The task as it was when the reader was opened.
    pub fn task(&self) -> &Task {
        unimplemented!()
    }

    /// How many kept bytes there are to read, of the task as it was then.
    pub fn kept(&self) -> u64 {
        unimplemented!()
    }

    /// Leaves out the first `bytes` of what is kept. To be called before the first read.
    pub fn skip(&mut self, _bytes: u64) {
        unimplemented!()
    }

    /// The next bytes, at most 256 KiB; none at the end.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer; `Conflict` where what was to be read has
    /// been left out meanwhile, because the task still runs.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        unimplemented!()
    }
}

impl OutputReader {
    /// As [`OutputReader::next`], decoded: UTF-8 is joined across reads but not over a gap, and
    /// what is not UTF-8 is U+FFFD.
    ///
    /// # Errors
    /// As [`OutputReader::next`].
    pub async fn next_text(&mut self) -> Result<Option<String>> {
        unimplemented!()
    }
}

/// Where a stream of events stands; what `Last-Event-ID` carries. Its text is
/// `STDOUT-STDERR`, the offsets in bytes that were told, or `end` after the last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventId {
    /// All up to these offsets was told.
    At {
        /// Of standard output.
        stdout: u64,
        /// Of standard error.
        stderr: u64,
    },
    /// All was told.
    End,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { stdout, stderr } => write!(f, "{stdout}-{stderr}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        if text == "end" {
            return Ok(Self::End);
        }
        let (stdout, stderr) = text.split_once('-').ok_or(())?;
        let number = |t: &str| t.parse::<u64>().map_err(|_| ());
        Ok(Self::At {
            stdout: number(stdout)?,
            stderr: number(stderr)?,
        })
    }
}

/// What happens to a task, live or from the record: there is no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// Output came. UTF-8 is decoded across events; what is not UTF-8 is U+FFFD.
    Output {
        /// On which stream.
        stream: Stream,
        /// Where in the stream, in bytes.
        offset: u64,
        /// What.
        text: String,
        /// Where the stream of events stands after this.
        id: EventId,
    },
    /// Output was left out.
    Gap {
        /// Of which stream.
        stream: Stream,
        /// Where in the stream, in bytes.
        offset: u64,
        /// How much, in bytes.
        length: u64,
        /// Where the stream of events stands after this.
        id: EventId,
    },
    /// The task has ended; this is the last event.
    End(Box<Task>),
}

/// The events of one task.
pub struct Events {}

impl Events {
    /// The next event; waits for it. None after [`TaskEvent::End`], when the task was removed, and
    /// when the server stops. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn next(&mut self) -> Result<Option<TaskEvent>> {
        unimplemented!()
    }
}

impl Service {
    /// Opens the kept bytes of what ran, never amended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn read_output(
        &self,
        _actor: &Actor,
        _id: TaskId,
        _view: View,
    ) -> Result<OutputReader> {
        unimplemented!()
    }

    /// Opens one stream as the task shows it: amended where it was, else what ran. `task` is what
    /// a list or [`Service::task`] gave. The bytes may end in the middle of a UTF-8 sequence, and
    /// two reads never join over a gap.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn read_shown(
        &self,
        _actor: &Actor,
        _task: &Task,
        _stream: Stream,
    ) -> Result<OutputReader> {
        unimplemented!()
    }

    /// Opens the events of a task, from its first byte or after what was told before. None where
    /// all was told: the task has ended and `from` is [`EventId::End`].
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn events(
        &self,
        _actor: &Actor,
        _id: TaskId,
        _from: Option<EventId>,
    ) -> Result<Option<Events>> {
        unimplemented!()
    }
}
