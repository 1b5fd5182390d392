//! Looking for a text in the output: of what is kept a bounded part at a time.

use super::ansi;
use super::canvas::{Canvas, Needle};
use super::rows::{Content, Row};
use super::window::{lead_in, read_on};
use crate::domain::{Result, Stream};
use crate::service::{Kept, Place, View};

/// The most that one request looks through, in bytes.
const THROUGH: u64 = 32 * 1024 * 1024;
/// The most that one request names.
const NAMED: usize = 200;
/// What is shown of a line around what was found, in bytes.
const AROUND: usize = 80;

/// A row that has it.
pub struct Match {
    pub stream: Stream,
    /// The line, from 0.
    pub line: Option<u64>,
    pub from: Place,
    /// What stands around it, as HTML.
    pub html: String,
}

/// What was found.
pub struct Search {
    pub matches: Vec<Match>,
    /// How many rows have it, also those that are not named.
    pub count: u64,
    /// Where it began, and where it stopped before the end.
    pub from: Place,
    pub stopped: Option<Place>,
}

impl Search {
    /// Looks from a place on: apart through stdout and then through stderr, together in the order
    /// in which both came.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn run(kept: &Kept, views: &[View], needle: &Needle, from: Place) -> Result<Self> {
        let mut it = Self {
            matches: Vec::new(),
            count: 0,
            from,
            stopped: None,
        };
        let mut left = THROUGH;
        for view in views {
            let mut canvas = Canvas::default();
            let mut rows = lead_in(kept, *view, from, 0).await?;
            loop {
                let before = rows.place().position();
                let found = &mut |row: Row| it.look(&row, needle, &mut canvas);
                let came = read_on(kept, *view, &mut rows, kept.end(), found).await?;
                if !came {
                    rows.finish(found);
                    break;
                }
                left = left.saturating_sub(rows.place().position() - before);
                if left == 0 {
                    it.stopped = Some(rows.resume());
                    return Ok(it);
                }
            }
        }
        Ok(it)
    }

    fn look(&mut self, row: &Row, needle: &Needle, canvas: &mut Canvas) {
        let Content::Line(bytes) = &row.content else {
            return;
        };
        let is_plain = !bytes.contains(&b'\x1b');
        if is_plain && !needle.is_in(bytes) {
            return canvas.pass(row);
        }
        let text = ansi::plain(&canvas.paint(row));
        if row.from.of(row.stream) < self.from.of(row.stream) {
            return;
        }
        let Some(first) = needle.places(&text).into_iter().next() else {
            return;
        };
        self.count += 1;
        if self.matches.len() < NAMED {
            let begin = text.floor_char_boundary(first.start.saturating_sub(AROUND));
            let end = text.ceil_char_boundary(text.len().min(first.end + AROUND));
            let shown = text[begin..end].to_owned();
            let marked = needle.places(&shown);
            let mut html = String::new();
            ansi::write(&[(ansi::Pen::default(), shown)], &marked, &mut html);
            self.matches.push(Match {
                stream: row.stream,
                line: row.line,
                from: row.from,
                html,
            });
        }
    }
}
