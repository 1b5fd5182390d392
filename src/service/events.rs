//! What happens to a task, live or from the record: both are read from the store.

use super::text::Decoder;
use super::{Actor, Service};
use crate::domain::{Result, Stream, Task, TaskId};
use crate::engine::Watch;
use crate::store::{Piece, Store};
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

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
        let number = |t: &str| match t.parse::<u64>() {
            Ok(offset) if offset <= i64::MAX as u64 => Ok(offset),
            _ => Err(()),
        };
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

/// What comes of a task, as it was written.
pub enum Came {
    /// Output, in order.
    Output(Vec<Piece>),
    /// The task has ended; all its output came before.
    End(Box<Task>),
}

/// Follows one task: reads what there is, then waits for more.
pub struct Follow {
    store: Store,
    task: TaskId,
    watch: Watch,
    over: bool,
}

impl Follow {
    /// What comes next behind a cursor (offsets of stdout and stderr), which is moved behind it.
    /// None after [`Came::End`], when the task was removed, and when the server stops. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn next(&mut self, cursor: &mut [u64; 2]) -> Result<Option<Came>> {
        while !self.over {
            // First the state, then the output: what has ended by now has all its output there.
            let Some(task) = self.store.task(self.task).await? else {
                self.over = true;
                break;
            };
            let mut next = *cursor;
            let pieces = self
                .store
                .read_output(self.task, &Stream::ALL, &mut next)
                .await?;
            if !pieces.is_empty() {
                *cursor = next;
                return Ok(Some(Came::Output(pieces)));
            }
            if task.state.has_ended() {
                self.over = true;
                return Ok(Some(Came::End(Box::new(task))));
            }
            self.over = !self.watch.changed().await;
        }
        Ok(None)
    }
}

/// The events of one task.
pub struct Events {
    follow: Follow,
    cursor: [u64; 2],
    decoders: [Decoder; 2],
    /// Read and not told yet.
    queue: VecDeque<TaskEvent>,
}

impl Events {
    /// The next event; waits for it. None after [`TaskEvent::End`], when the task was removed, and
    /// when the server stops. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn next(&mut self) -> Result<Option<TaskEvent>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            let mut cursor = self.cursor;
            match self.follow.next(&mut cursor).await? {
                None => return Ok(None),
                Some(Came::Output(pieces)) => pieces.into_iter().for_each(|it| self.tell(it)),
                Some(Came::End(task)) => {
                    Stream::ALL.into_iter().for_each(|it| self.tell_held(it));
                    self.queue.push_back(TaskEvent::End(task));
                }
            }
        }
    }

    fn tell(&mut self, piece: Piece) {
        match piece {
            Piece::Data {
                stream,
                offset,
                bytes,
            } => {
                let place = stream as usize;
                let held = self.decoders[place].held();
                let text = self.decoders[place].push(&bytes);
                self.cursor[place] = offset + bytes.len() as u64;
                if !text.is_empty() {
                    let id = self.id();
                    self.queue.push_back(TaskEvent::Output {
                        stream,
                        offset: offset - held,
                        text,
                        id,
                    });
                }
            }
            Piece::Gap {
                stream,
                offset,
                length,
            } => {
                self.tell_held(stream);
                self.cursor[stream as usize] = offset + length;
                let id = self.id();
                self.queue.push_back(TaskEvent::Gap {
                    stream,
                    offset,
                    length,
                    id,
                });
            }
        }
    }

    /// Tells what was held back for the rest of its sequence, which does not come.
    fn tell_held(&mut self, stream: Stream) {
        let place = stream as usize;
        let offset = self.cursor[place] - self.decoders[place].held();
        let text = self.decoders[place].finish();
        if !text.is_empty() {
            let id = self.id();
            self.queue.push_back(TaskEvent::Output {
                stream,
                offset,
                text,
                id,
            });
        }
    }

    /// What was told so far: what is held back was not.
    fn id(&self) -> EventId {
        let told =
            |stream: Stream| self.cursor[stream as usize] - self.decoders[stream as usize].held();
        EventId::At {
            stdout: told(Stream::Stdout),
            stderr: told(Stream::Stderr),
        }
    }
}

impl Service {
    /// Opens the events of a task, from its first byte or after what was told before. None where
    /// all was told: the task has ended and `from` is [`EventId::End`].
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn events(
        &self,
        actor: &Actor,
        id: TaskId,
        from: Option<EventId>,
    ) -> Result<Option<Events>> {
        let (task, follow) = self.follow(actor, id).await?;
        let cursor = match from {
            Some(EventId::End) if task.state.has_ended() => return Ok(None),
            Some(EventId::End) | None => [0, 0],
            // Nobody was told more than there is.
            Some(EventId::At { stdout, stderr }) => {
                [stdout.min(task.stdout.bytes), stderr.min(task.stderr.bytes)]
            }
        };
        Ok(Some(Events {
            follow,
            cursor,
            decoders: <[Decoder; 2]>::default(),
            queue: VecDeque::new(),
        }))
    }

    /// A task as it is, and what comes of it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn follow(&self, actor: &Actor, id: TaskId) -> Result<(Task, Follow)> {
        let watch = self.engine()?.watch(id);
        let task = self.task(actor, id).await?;
        let follow = Follow {
            store: self.inner.store.clone(),
            task: id,
            watch,
            over: false,
        };
        Ok((task, follow))
    }
}
