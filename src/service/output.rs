use super::text::Decoder;
use super::{Action, Actor, Service};
use crate::domain::{Error, Gap, Result, Stream, Task, TaskId};
use crate::engine::Watch;
use crate::store::{Piece, Store};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
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

impl View {
    fn streams(self) -> Vec<Stream> {
        match self {
            Self::One(stream) => vec![stream],
            Self::Both => Stream::ALL.to_vec(),
        }
    }
}

/// Reads kept output in short reads, so that it costs the same memory whatever its size.
pub struct OutputReader {
    store: Store,
    task: Task,
    streams: Vec<Stream>,
    cursor: [u64; 2],
    /// Read and not given yet.
    pieces: VecDeque<Piece>,
    /// What is shown in the place of what ran.
    amended: Option<String>,
    /// Whether the end has to come where it was promised.
    exact: bool,
    skip: u64,
    given: u64,
    decoder: Decoder,
}

impl OutputReader {
    fn new(store: Store, task: Task, streams: Vec<Stream>, amended: Option<String>) -> Self {
        Self {
            store,
            task,
            streams,
            cursor: [0, 0],
            pieces: VecDeque::new(),
            amended,
            exact: false,
            skip: 0,
            given: 0,
            decoder: Decoder::default(),
        }
    }

    /// The task as it was when the reader was opened.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// How many kept bytes there are to read, of the task as it was then. None where that is not
    /// known: the task still runs and some of its output was left out, so that its tail moves.
    pub fn kept(&self) -> Option<u64> {
        if let Some(text) = &self.amended {
            return Some(text.len() as u64);
        }
        let infos = || self.streams.iter().map(|stream| self.task.stream(*stream));
        let moves = !self.task.state.has_ended() && infos().any(|info| info.gap.is_some());
        (!moves).then(|| infos().map(|info| info.kept()).sum())
    }

    /// Where something was left out of what this reads: at most one place for each stream, in the
    /// order of their offsets, which count the kept bytes before them.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn gaps(&self) -> Result<Vec<Gap>> {
        let mut gaps = Vec::new();
        for stream in &self.streams {
            let Some(gap) = self.task.stream(*stream).gap else {
                continue;
            };
            let before = self.kept_before(*stream, gap).await?;
            gaps.push(Gap {
                offset: gap.offset + before,
                ..gap
            });
        }
        gaps.sort_by_key(|gap| gap.offset);
        Ok(gaps)
    }

    /// How many kept bytes of the other stream, where it is read too, came before a gap.
    async fn kept_before(&self, stream: Stream, gap: Gap) -> Result<u64> {
        let Some(other) = self.streams.iter().find(|other| **other != stream) else {
            return Ok(0);
        };
        let position = self
            .store
            .output_position(self.task.id, stream, gap.offset)
            .await?;
        let came = position.map_or(0, |position| position - gap.offset);
        let kept = self.task.stream(*other).gap.map_or(came, |gap| {
            let behind = came.saturating_sub(gap.offset + gap.length);
            came.min(gap.offset) + behind
        });
        Ok(kept)
    }

    /// Leaves out the first `bytes` of what is kept. To be called before the first read.
    pub fn skip(&mut self, bytes: u64) {
        match self.streams.as_slice() {
            // One stream is read from there on; of two nobody knows where that is.
            [stream] if self.amended.is_none() => {
                let gap = self.task.stream(*stream).gap;
                let behind = gap.filter(|gap| bytes >= gap.offset);
                self.cursor[*stream as usize] = bytes + behind.map_or(0, |gap| gap.length);
                self.given = bytes;
            }
            _ => self.skip = bytes,
        }
    }

    /// The next bytes, at most 256 KiB; none at the end.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer; `Conflict` where what was to be read has
    /// been left out meanwhile, because the task still runs.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.next_piece().await? {
                None => return Ok(None),
                Some(Piece::Data { bytes, .. }) => return Ok(Some(bytes)),
                Some(Piece::Gap { .. }) => {}
            }
        }
    }

    /// As [`OutputReader::next`], decoded: UTF-8 is joined across reads but not over a gap, and
    /// what is not UTF-8 is U+FFFD.
    ///
    /// # Errors
    /// As [`OutputReader::next`].
    pub async fn next_text(&mut self) -> Result<Option<String>> {
        loop {
            let piece = self.next_piece().await?;
            let end = piece.is_none();
            let text = match piece {
                Some(Piece::Data { bytes, .. }) => self.decoder.push(&bytes),
                Some(Piece::Gap { .. }) | None => self.decoder.finish(),
            };
            if !text.is_empty() {
                return Ok(Some(text));
            }
            if end {
                return Ok(None);
            }
        }
    }

    async fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            if self.pieces.is_empty() && !self.fill().await? {
                return match self.kept() {
                    Some(kept) if self.exact && self.given < kept => Err(Error::conflict(
                        "Part of this output was left out while it was read. Read it again.",
                    )),
                    Some(_) | None => Ok(None),
                };
            }
            match self.pieces.pop_front() {
                Some(Piece::Data {
                    stream,
                    offset,
                    mut bytes,
                }) => {
                    let most = self.still_wanted(stream, offset);
                    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
                    self.given += bytes.len() as u64;
                    let skipped = self.skip.min(bytes.len() as u64);
                    self.skip -= skipped;
                    bytes.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
                    if !bytes.is_empty() {
                        return Ok(Some(Piece::Data {
                            stream,
                            offset,
                            bytes,
                        }));
                    }
                }
                Some(gap @ Piece::Gap { .. }) => return Ok(Some(gap)),
                None => {}
            }
        }
    }

    /// How much of what stands at an offset belongs to what was there when the reader was opened.
    fn still_wanted(&self, stream: Stream, offset: u64) -> u64 {
        if self.amended.is_some() {
            return u64::MAX;
        }
        if self.kept().is_some() {
            return self.task.stream(stream).bytes.saturating_sub(offset);
        }
        // A tail that moves is read where it is by now, and no more than there was.
        let was = |stream: &Stream| self.task.stream(*stream).kept();
        let kept: u64 = self.streams.iter().map(was).sum();
        kept.saturating_sub(self.given)
    }

    /// Reads on. False where there is no more.
    async fn fill(&mut self) -> Result<bool> {
        if let Some(text) = &mut self.amended {
            let bytes = Bytes::from(std::mem::take(text));
            // What is amended is at most one request's body, and read once.
            let fresh = self.given == 0 && !bytes.is_empty();
            if fresh {
                self.pieces.push_back(Piece::Data {
                    stream: Stream::Stdout,
                    offset: 0,
                    bytes,
                });
            }
            return Ok(fresh);
        }
        let wanted = |stream: &Stream| self.still_wanted(*stream, self.cursor[*stream as usize]);
        if self.streams.iter().map(wanted).all(|most| most == 0) {
            return Ok(false);
        }
        let mut cursor = self.cursor;
        self.pieces = self
            .store
            .read_output(self.task.id, &self.streams, &mut cursor)
            .await?
            .into();
        self.cursor = cursor;
        Ok(!self.pieces.is_empty())
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

/// The events of one task.
pub struct Events {
    store: Store,
    task: TaskId,
    watch: Watch,
    cursor: [u64; 2],
    decoders: [Decoder; 2],
    /// Read and not told yet.
    queue: VecDeque<TaskEvent>,
    over: bool,
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
            if self.over {
                return Ok(None);
            }
            // First the state, then the output: what has ended by now has all its output there.
            let Some(task) = self.store.task(self.task).await? else {
                self.over = true;
                continue;
            };
            let mut cursor = self.cursor;
            let pieces = self
                .store
                .read_output(self.task, &Stream::ALL, &mut cursor)
                .await?;
            if !pieces.is_empty() {
                pieces.into_iter().for_each(|piece| self.tell(piece));
            } else if task.state.has_ended() {
                Stream::ALL
                    .into_iter()
                    .for_each(|stream| self.tell_held(stream));
                self.queue.push_back(TaskEvent::End(Box::new(task)));
                self.over = true;
            } else if !self.watch.changed().await {
                self.over = true;
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
    /// Opens the kept bytes of what ran, never amended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn read_output(&self, actor: &Actor, id: TaskId, view: View) -> Result<OutputReader> {
        let task = self.task(actor, id).await?;
        let store = self.inner.store.clone();
        Ok(OutputReader {
            exact: true,
            ..OutputReader::new(store, task, view.streams(), None)
        })
    }

    /// Opens one stream as the task shows it: amended where it was, else what ran. `task` is what
    /// a list or [`Service::task`] gave; where it was removed meanwhile, its output just ends.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn read_shown(
        &self,
        actor: &Actor,
        task: &Task,
        stream: Stream,
    ) -> Result<OutputReader> {
        actor.require(Action::ReadTasks)?;
        let store = self.inner.store.clone();
        let amended = match task.is_amended(stream) {
            true => store.amended_output(task, stream).await?,
            false => None,
        };
        Ok(OutputReader::new(
            store,
            task.clone(),
            vec![stream],
            amended,
        ))
    }

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
        let watch = self.engine()?.watch(id);
        let task = self.task(actor, id).await?;
        let cursor = match from {
            Some(EventId::End) if task.state.has_ended() => return Ok(None),
            Some(EventId::End) | None => [0, 0],
            // Nobody was told more than there is.
            Some(EventId::At { stdout, stderr }) => {
                [stdout.min(task.stdout.bytes), stderr.min(task.stderr.bytes)]
            }
        };
        Ok(Some(Events {
            store: self.inner.store.clone(),
            task: id,
            watch,
            cursor,
            decoders: <[Decoder; 2]>::default(),
            queue: VecDeque::new(),
            over: false,
        }))
    }
}
