//! A task's output for its page: the last of each stream, and from where live events go on.

use crate::domain::{Result, Stream, Task};
use crate::service::{Actor, EventId, Events, Service, TaskEvent};
use std::time::Duration;

/// What a page shows of each stream, in bytes; the raw output has the rest.
const SHOWN: u64 = 64 * 1024;

/// The longest that a page waits for its output; what has not come by then comes live.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a UTF-8 sequence that is not over (RFC 3629 section 4).
const UNFINISHED: u64 = 3;

/// A stretch of output without a gap, or the gap.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Output.
    Text(String),
    /// So many bytes are not kept.
    Gap(u64),
}

/// What a page shows of one stream.
pub struct Shown {
    /// Which one.
    pub stream: Stream,
    /// Its last part.
    pub pieces: Vec<Piece>,
    /// All bytes that came, or that the amended text has.
    pub total: u64,
    /// Whether something came before what is shown.
    pub cut: bool,
    /// Whether somebody put another text in place of what ran.
    pub amended: bool,
    /// The offset in the stream, in bytes, of what follows.
    next: u64,
}

/// Both streams of a task, as one page shows them.
pub struct Output {
    /// Standard output, then standard error.
    pub streams: Vec<Shown>,
}

impl Output {
    /// Reads the last part of both streams: the same events that come live, up to what there is.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` where the store does not answer.
    pub async fn read(service: &Service, actor: &Actor, task: &Task) -> Result<Self> {
        let mut it = Self {
            streams: Stream::ALL.map(|stream| Shown::from(task, stream)).into(),
        };
        let from = Some(it.told());
        if let Some(events) = service.events(actor, task.id, from).await? {
            let taken = tokio::time::timeout(PATIENCE, it.take(events, task)).await;
            taken.unwrap_or(Ok(()))?;
        }
        for shown in it.streams.iter_mut().filter(|shown| shown.amended) {
            shown.amend(service, actor, task).await?;
        }
        Ok(it)
    }

    /// Neither stream: for a page that is asked for without output.
    pub fn none() -> Self {
        Self {
            streams: Vec::new(),
        }
    }

    /// The id of the last event that is shown.
    pub fn told(&self) -> EventId {
        let next = |wanted| {
            let mut streams = self.streams.iter();
            streams
                .find(|shown| shown.stream == wanted)
                .map_or(0, |shown| shown.next)
        };
        EventId::At {
            stdout: next(Stream::Stdout),
            stderr: next(Stream::Stderr),
        }
    }

    async fn take(&mut self, mut events: Events, task: &Task) -> Result<()> {
        while !self.streams.iter().all(|shown| shown.has_all_of(task)) {
            match events.next().await? {
                Some(event) => self.show(event),
                None => break,
            }
        }
        Ok(())
    }

    fn show(&mut self, event: TaskEvent) {
        let (of, piece, id) = match event {
            TaskEvent::Output {
                stream, text, id, ..
            } => (stream, Piece::Text(text), id),
            TaskEvent::Gap {
                stream, length, id, ..
            } => (stream, Piece::Gap(length), id),
            TaskEvent::End(_) => return,
        };
        let EventId::At { stdout, stderr } = id else {
            return;
        };
        for shown in &mut self.streams {
            if shown.stream == of {
                shown.add(&piece);
                shown.next = match of {
                    Stream::Stdout => stdout,
                    Stream::Stderr => stderr,
                };
            }
        }
    }
}

impl Shown {
    fn from(task: &Task, stream: Stream) -> Self {
        let total = task.stream(stream).bytes;
        let next = total.saturating_sub(SHOWN);
        Self {
            stream,
            pieces: Vec::new(),
            total,
            cut: next > 0,
            amended: task.is_amended(stream),
            next,
        }
    }

    /// Whether it shows what the task had when it was read. While the task runs, the beginning of
    /// a character may be held back until the rest has come.
    fn has_all_of(&self, task: &Task) -> bool {
        let held_back = if task.state.has_ended() {
            0
        } else {
            UNFINISHED
        };
        self.next + held_back >= self.total
    }

    fn add(&mut self, piece: &Piece) {
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(text)) => last.push_str(text),
            (None, Piece::Text(text)) if self.cut => {
                // What is left of a character whose first byte was cut off.
                let rest = text.chars().take(UNFINISHED as usize);
                let rest = rest
                    .take_while(|c| *c == char::REPLACEMENT_CHARACTER)
                    .count();
                self.pieces
                    .push(Piece::Text(text.chars().skip(rest).collect()));
            }
            (_, Piece::Text(text)) => self.pieces.push(Piece::Text(text.clone())),
            (_, Piece::Gap(length)) => self.pieces.push(Piece::Gap(*length)),
        }
    }

    /// Shows the end of the amended text instead.
    async fn amend(&mut self, service: &Service, actor: &Actor, task: &Task) -> Result<()> {
        let mut reader = service.read_shown(actor, task, self.stream).await?;
        let mut text = String::new();
        while let Some(more) = reader.next_text().await? {
            text.push_str(&more);
        }
        self.total = text.len() as u64;
        let shown = usize::try_from(SHOWN).unwrap_or(usize::MAX);
        let begin = text.ceil_char_boundary(text.len().saturating_sub(shown));
        self.cut = begin > 0;
        self.pieces = vec![Piece::Text(text.split_off(begin))];
        Ok(())
    }
}
