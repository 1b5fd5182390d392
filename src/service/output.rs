use super::text::Decoder;
use super::{Action, Actor, Service};
use crate::domain::{Error, Gap, Result, Stream, Task, TaskId};
use crate::store::{Piece, Store};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;

/// Which output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One stream.
    One(Stream),
    /// Both, in the order they came.
    Both,
}

impl View {
    /// The streams, in their order.
    pub fn streams(self) -> Vec<Stream> {
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
}
