//! Reading stored output: one stream, or both in the order in which they came.

use super::output::{Piece, number};
use super::output_runs::decode;
use crate::domain::{Stream, TaskId};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};

/// The most pieces that one read gives, however short the runs of two streams are.
const PIECES: usize = 4096;

/// Reads on from a cursor, in the order in which the bytes came, about `most` bytes. Nothing where
/// there is no more yet.
pub(super) fn read(
    c: &Connection,
    task: TaskId,
    wanted: [bool; 2],
    cursor: [u64; 2],
    most: usize,
) -> rusqlite::Result<Vec<Piece>> {
    // From the piece that holds the cursor, or the first one behind it.
    const SQL: &str = "SELECT \"offset\", at, runs, data, length FROM output WHERE task = ?1 AND stream = ?2
        AND \"offset\" >= coalesce((SELECT max(\"offset\") FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" <= ?3), 0)
        ORDER BY \"offset\"";
    let mut statements = [c.prepare_cached(SQL)?, c.prepare_cached(SQL)?];
    let [first, second] = &mut statements;
    let mut sources = Vec::with_capacity(2);
    for (stream, statement) in Stream::ALL.into_iter().zip([first, second]) {
        if wanted[stream as usize] {
            let position = cursor[stream as usize];
            let rows = statement.query(params![task.0, number(stream), position])?;
            let mut source = Source {
                stream,
                merged: wanted == [true, true],
                position,
                rows,
                chunk: None,
            };
            source.fill()?;
            sources.push(source);
        }
    }
    let mut pieces = Vec::new();
    let mut left = most;
    while left > 0 && pieces.len() < PIECES {
        let Some(source) = sources
            .iter_mut()
            .filter(|s| s.chunk.is_some())
            .min_by_key(|s| s.at())
        else {
            break;
        };
        source.take(&mut pieces, &mut left)?;
    }
    Ok(pieces)
}

/// One stream of a read.
struct Source<'a> {
    stream: Stream,
    /// Whether its order among the bytes of the other stream matters.
    merged: bool,
    position: u64,
    rows: Rows<'a>,
    chunk: Option<Stored>,
}

impl Source<'_> {
    /// Loads the piece that holds the position or comes next.
    fn fill(&mut self) -> rusqlite::Result<()> {
        self.chunk = None;
        while let Some(row) = self.rows.next()? {
            let mut chunk = Stored::load(row)?;
            if chunk.offset + chunk.data.len() as u64 > self.position {
                if !self.merged {
                    chunk.runs = vec![(0, chunk.data.len() as u64)];
                }
                chunk.skip_to(self.position);
                self.chunk = Some(chunk);
                break;
            }
        }
        Ok(())
    }

    fn at(&self) -> u64 {
        self.chunk
            .as_ref()
            .and_then(|c| c.runs.last())
            .map_or(u64::MAX, |run| run.0)
    }

    /// Gives the next run, or as much of it as is wanted.
    fn take(&mut self, pieces: &mut Vec<Piece>, left: &mut usize) -> rusqlite::Result<()> {
        let Some(chunk) = &mut self.chunk else {
            return Ok(());
        };
        let start = chunk.offset + chunk.taken as u64;
        if start > self.position {
            pieces.push(Piece::Gap {
                stream: self.stream,
                offset: self.position,
                length: start - self.position,
            });
            self.position = start;
        }
        let bytes = chunk.take_run(*left);
        *left -= bytes.len().min(*left);
        let end = start + bytes.len() as u64;
        pieces.push(Piece::Data {
            stream: self.stream,
            offset: start,
            bytes,
        });
        self.position = end;
        if chunk.taken == chunk.data.len() {
            self.fill()?;
        }
        Ok(())
    }
}

/// A stored piece, of which some may have been taken.
pub(super) struct Stored {
    offset: u64,
    pub(super) data: Bytes,
    pub(super) taken: usize,
    /// What is left of the runs, the next one last.
    pub(super) runs: Vec<(u64, u64)>,
}

impl Stored {
    /// From a row that begins with offset, at, runs, data, length.
    pub(super) fn load(row: &Row) -> rusqlite::Result<Self> {
        let at = row.get(1)?;
        let length = row.get(4)?;
        let mut runs = match row.get_ref(2)?.as_blob_or_null()? {
            None => vec![(at, length)],
            Some(encoded) => decode(at, encoded).ok_or(rusqlite::Error::InvalidQuery)?,
        };
        runs.reverse();
        Ok(Self {
            offset: row.get(0)?,
            data: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
            taken: 0,
            runs,
        })
    }

    pub(super) fn skip_to(&mut self, position: u64) {
        while self.offset + (self.taken as u64) < position && self.taken < self.data.len() {
            let skip = position - self.offset - self.taken as u64;
            self.take_run(usize::try_from(skip).unwrap_or(usize::MAX));
        }
    }

    fn take_run(&mut self, most: usize) -> Bytes {
        let Some(run) = self.runs.last_mut() else {
            // The runs always cover the data; were it otherwise, the rest is one run.
            let rest = self.data.slice(self.taken..);
            self.taken = self.data.len();
            return rest;
        };
        let length = usize::try_from(run.1)
            .unwrap_or(usize::MAX)
            .min(most)
            .min(self.data.len() - self.taken);
        let bytes = self.data.slice(self.taken..self.taken + length);
        self.taken += length;
        run.0 += length as u64;
        run.1 -= length as u64;
        if run.1 == 0 {
            self.runs.pop();
        }
        bytes
    }

    /// Where what is left begins: in its stream, and among the bytes of both.
    pub(super) fn begin(&self) -> Option<(u64, u64)> {
        let run = self.runs.last()?;
        Some((self.offset + self.taken as u64, run.0))
    }

    pub(super) fn rest_of_runs(&self) -> Vec<(u64, u64)> {
        self.runs.iter().rev().copied().collect()
    }
}

/// The piece that holds the byte before an offset.
pub(super) fn chunk_before(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    offset: u64,
) -> rusqlite::Result<Option<Stored>> {
    c.prepare_cached(
        "SELECT \"offset\", at, runs, data, length FROM output
         WHERE task = ?1 AND stream = ?2 AND \"offset\" < ?3 AND \"offset\" + length >= ?3
         ORDER BY \"offset\" DESC LIMIT 1",
    )?
    .query_row(params![task.0, number(stream), offset], Stored::load)
    .optional()
}
