//! Kept output, read from any place on: what a page shows a part of.

use super::output::View;
use super::{Action, Actor, Service};
use crate::domain::{Kind, Result, Stream, Task, TaskId};
use crate::store::{CHUNK, Piece, Store};
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// A place in the output of a task: offsets in bytes of stdout and stderr. Its text is
/// `STDOUT-STDERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place(pub [u64; 2]);

impl Place {
    /// How many bytes of both streams are before it.
    pub fn position(self) -> u64 {
        self.0[0] + self.0[1]
    }

    /// The offset in one stream.
    pub fn of(self, stream: Stream) -> u64 {
        self.0[stream as usize]
    }

    /// The same place but for one stream.
    #[must_use]
    pub fn with(mut self, stream: Stream, offset: u64) -> Self {
        self.0[stream as usize] = offset;
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0[0], self.0[1])
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (stdout, stderr) = text.split_once('-').ok_or(())?;
        // So that no sum of two is too large.
        let number = |text: &str| match text.parse::<u64>() {
            Ok(offset) if offset <= i64::MAX as u64 / 2 => Ok(offset),
            _ => Err(()),
        };
        Ok(Self([number(stdout)?, number(stderr)?]))
    }
}

/// The output of a task as it is shown: amended where it was, else what ran.
pub struct Kept {
    store: Store,
    task: TaskId,
    end: Place,
    amended: [Option<Bytes>; 2],
}

impl Kept {
    /// Behind all that there was when it was opened.
    pub fn end(&self) -> Place {
        self.end
    }

    /// What follows a place, about 256 KiB; nothing at the end. In both streams at once, nothing is
    /// amended.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn read(&self, view: View, from: Place) -> Result<Vec<Piece>> {
        if let View::One(stream) = view
            && let Some(text) = self.amended(stream)
        {
            let begin = text.len().min(index(from.of(stream)));
            let end = text.len().min(begin + CHUNK);
            let piece = Piece::Data {
                stream,
                offset: begin as u64,
                bytes: text.slice(begin..end),
            };
            return Ok(if begin < end { vec![piece] } else { Vec::new() });
        }
        let mut cursor = from.0;
        self.store
            .read_output(self.task, &view.streams(), &mut cursor)
            .await
    }

    /// The line, from 0, that a byte of a stream is in; none where that is not known.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn line_at(&self, stream: Stream, offset: u64) -> Result<Option<u64>> {
        if let Some(text) = self.amended(stream) {
            let before = &text[..text.len().min(index(offset))];
            let ends = before.iter().filter(|byte| **byte == b'\n').count();
            return Ok(Some(ends as u64));
        }
        self.store.line_at(self.task, stream, offset).await
    }

    /// The place where a line of a stream, from 0, begins; the end where there is no such line, and
    /// none where that is not known.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn line(&self, view: View, stream: Stream, line: u64) -> Result<Option<Place>> {
        let found = match self.amended(stream) {
            Some(text) => {
                let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let begins = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
                let found = begins.take(text.len()).nth(index(line));
                Some(found.unwrap_or(text.len()) as u64)
            }
            None => self.store.offset_of_line(self.task, stream, line).await?,
        };
        Ok(match (found, view) {
            (None, _) => None,
            (Some(offset), View::One(_)) => Some(self.end.with(stream, offset)),
            (Some(offset), View::Both) => {
                let place = self.store.place_of(self.task, stream, offset).await?;
                Some(Place(place))
            }
        })
    }

    /// A place at least so many bytes before another, or the beginning.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn before(&self, view: View, place: Place, bytes: u64) -> Result<Place> {
        match view {
            View::One(stream) => Ok(place.with(stream, place.of(stream).saturating_sub(bytes))),
            View::Both => {
                let before = self.store.place_before(self.task, place.0, bytes).await?;
                Ok(Place(before))
            }
        }
    }

    fn amended(&self, stream: Stream) -> Option<&Bytes> {
        self.amended[stream as usize].as_ref()
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Service {
    /// Opens the output of a task as it is shown. `task` is what [`Service::task`] gave; where it
    /// was removed meanwhile, there is none.
    ///
    /// # Errors
    /// `Forbidden`; `Unavailable` where the store does not answer.
    pub async fn kept(&self, actor: &Actor, task: &Task) -> Result<Kept> {
        actor.require(Action::ReadTasks)?;
        let store = self.inner.store.clone();
        let mut amended = [None, None];
        let mut end = Place::default();
        for stream in Stream::ALL {
            if task.is_amended(stream) {
                let text = store.amended_output(task, stream).await?;
                amended[stream as usize] = text.map(Bytes::from);
            }
            let shown = amended[stream as usize].as_ref();
            let bytes = shown.map_or(task.stream(stream).bytes, |text| text.len() as u64);
            end = end.with(stream, bytes);
        }
        Ok(Kept {
            store,
            task: task.id,
            end,
            amended,
        })
    }

    /// The last good run of the same script before this one that the actor may see.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn last_good_run(&self, actor: &Actor, task: &Task) -> Result<Option<Task>> {
        const LOOKED_AT: u32 = 20;
        let store = &self.inner.store;
        for id in store.good_runs_before(task.id, LOOKED_AT).await? {
            match self.task(actor, id).await {
                Ok(task) => return Ok(Some(task)),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
