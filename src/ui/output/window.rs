//! The part of the output that is looked at.

use super::canvas::Canvas;
use super::rows::{Content, Row, Rows};
use crate::domain::Result;
use crate::service::{Kept, Piece, Place, View};
use std::collections::VecDeque;

/// The most that a page shows at once of what it has to load, in rows and in bytes.
pub const ROWS: usize = 500;
pub const BYTES: u64 = 64 * 1024;

/// How much is read before what is shown, in bytes: colours that were set there go on.
const LEAD: u64 = 64 * 1024;

/// Which rows are wanted: so many before a place, and so many behind it.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub at: Place,
    pub before: usize,
    pub behind: usize,
}

/// Rows that follow each other, and what they look like.
pub struct Window {
    pub html: String,
    pub from: Place,
    pub to: Place,
    /// From where what comes goes on.
    pub resume: Place,
    /// Whether the line is in it that was to stand out.
    pub has_here: bool,
}

/// Begins to read before a place, so that at the place it is known in which line that is and how
/// what follows looks.
pub async fn lead_in(kept: &Kept, view: View, at: Place, more: u64) -> Result<Rows> {
    let lead = kept.before(view, at, LEAD + more).await?;
    let mut lines = [None; 2];
    for stream in view.streams() {
        lines[stream as usize] = kept.line_at(stream, lead.of(stream)).await?;
    }
    Ok(Rows::new(view == View::Both, lead, lines))
}

/// Gives the pieces from a place on to `rows`, as far as `until`. False where there is no more, or
/// it was reached.
pub async fn read_on(
    kept: &Kept,
    view: View,
    rows: &mut Rows,
    until: Place,
    found: &mut impl FnMut(Row),
) -> Result<bool> {
    let mut came = false;
    for piece in kept.read(view, rows.place()).await? {
        came |= take(kept, rows, piece, until, found).await?;
    }
    Ok(came)
}

/// Gives one piece to `rows`, as far as `until`. False where nothing of it was wanted.
pub async fn take(
    kept: &Kept,
    rows: &mut Rows,
    piece: Piece,
    until: Place,
    found: &mut impl FnMut(Row),
) -> Result<bool> {
    match piece {
        Piece::Data {
            stream,
            offset,
            bytes,
        } => {
            let wanted = until.of(stream).saturating_sub(offset);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let bytes = &bytes[..bytes.len().min(wanted)];
            let at = rows.place().of(stream);
            if offset > at && !bytes.is_empty() {
                let line = kept.line_at(stream, offset).await?;
                rows.gap(stream, (at, offset - at), line, found);
            }
            let known = usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            let bytes = &bytes[bytes.len().min(known)..];
            rows.take(stream, bytes, found);
            Ok(!bytes.is_empty())
        }
        Piece::Gap {
            stream,
            offset,
            length,
        } => {
            if offset + length > until.of(stream) {
                return Ok(false);
            }
            let line = kept.line_at(stream, offset + length).await?;
            rows.gap(stream, (offset, length), line, found);
            Ok(true)
        }
    }
}

/// What is kept of the rows that were read.
struct Gathered {
    wanted: Wanted,
    before: VecDeque<Row>,
    before_bytes: u64,
    behind: Vec<Row>,
    behind_bytes: u64,
    /// All rows that are dropped before the first: they set the colours.
    canvas: Canvas,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.behind.len() >= self.wanted.behind || self.behind_bytes >= BYTES
    }

    fn take(&mut self, row: Row) {
        let bytes = row.to.position() - row.from.position();
        if row.from.position() >= self.wanted.at.position() {
            if !self.is_full() {
                self.behind_bytes += shown_bytes(&row, bytes);
                self.behind.push(row);
            }
            return;
        }
        self.before_bytes += shown_bytes(&row, bytes);
        self.before.push_back(row);
        while self.before.len() > self.wanted.before || self.before_bytes > BYTES {
            let Some(first) = self.before.pop_front() else {
                break;
            };
            let bytes = first.to.position() - first.from.position();
            self.before_bytes -= shown_bytes(&first, bytes);
            self.canvas.pass(&first);
        }
    }
}

fn shown_bytes(row: &Row, bytes: u64) -> u64 {
    match row.content {
        Content::Line(..) => bytes,
        Content::Gap(_) => 0,
    }
}

impl Window {
    /// Reads and draws the rows that are wanted.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn read(kept: &Kept, view: View, wanted: Wanted, canvas: Canvas) -> Result<Self> {
        let more = if wanted.before > 0 { BYTES } else { 0 };
        let mut rows = lead_in(kept, view, wanted.at, more).await?;
        let mut gathered = Gathered {
            wanted,
            before: VecDeque::new(),
            before_bytes: 0,
            behind: Vec::new(),
            behind_bytes: 0,
            canvas,
        };
        let until = if wanted.behind > 0 {
            kept.end()
        } else {
            wanted.at
        };
        let resume = loop {
            let found = &mut |row| gathered.take(row);
            let at_end = rows.place().position() >= until.position();
            if at_end || !read_on(kept, view, &mut rows, until, found).await? {
                let resume = rows.resume();
                rows.finish(found);
                break Some(resume);
            }
            if gathered.is_full() && wanted.behind > 0 {
                break None;
            }
        };
        let all = gathered.before.into_iter().chain(gathered.behind);
        let (mut html, mut canvas) = (String::new(), gathered.canvas);
        let (mut from, mut to) = (None, wanted.at);
        let mut has_here = false;
        for row in all {
            from = from.or(Some(row.from));
            to = row.to;
            has_here |= canvas.is_here(&row);
            canvas.draw(&row, &mut html);
        }
        Ok(Self {
            html,
            from: from.unwrap_or(wanted.at),
            to,
            resume: resume.unwrap_or(to),
            has_here,
        })
    }
}
