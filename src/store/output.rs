use super::fault::Fault;
use super::tasks::figure_columns;
use super::{Store, amendments};
use crate::domain::{Result, Stream, Task, TaskId};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};
use std::sync::Arc;

/// The largest piece that is stored, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// The most pieces that one read gives, however short the runs of two streams are.
const PIECES: usize = 4096;

/// A piece of one stream, to be stored. It never crosses the end of the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Of which stream.
    pub stream: Stream,
    /// Where in the stream it begins, in bytes.
    pub offset: u64,
    /// At most 256 KiB, at least one byte.
    pub data: Vec<u8>,
    /// How it lies among the bytes of both streams: position and length of each run, in order.
    pub runs: Vec<(u64, u64)>,
}

/// What came since the last write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputWrite {
    /// The pieces, in order within each stream.
    pub chunks: Vec<Chunk>,
    /// All bytes that have come, on stdout and stderr.
    pub totals: [u64; 2],
    /// How many bytes are kept of a stream's beginning.
    pub head: u64,
    /// How many bytes are kept of a stream's end, once it is longer than both.
    pub tail: u64,
}

/// What a read gives, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a stream from an offset on.
    Data {
        /// Of which stream.
        stream: Stream,
        /// Where in the stream.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// Bytes that were left out.
    Gap {
        /// Of which stream.
        stream: Stream,
        /// Where in the stream.
        offset: u64,
        /// How many.
        length: u64,
    },
}

pub(super) fn number(stream: Stream) -> i64 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

/// Stores what came; past the head, drops what is neither head nor tail.
pub(super) fn write(c: &Connection, task: TaskId, write: &OutputWrite) -> Result<(), Fault> {
    for chunk in &write.chunks {
        let contiguous = matches!(chunk.runs.as_slice(), [_]);
        c.prepare_cached("INSERT INTO output (task, stream, \"offset\", length, at, runs, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                task.0,
                number(chunk.stream),
                chunk.offset,
                chunk.data.len(),
                chunk.runs.first().map_or(0, |run| run.0),
                (!contiguous).then(|| encode(&chunk.runs)),
                chunk.data
            ])?;
    }
    for (stream, total) in Stream::ALL.into_iter().zip(write.totals) {
        let mut gap = None;
        if total > write.head + write.tail {
            c.prepare_cached("DELETE FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 AND \"offset\" + length <= ?4")?
                .execute(params![task.0, number(stream), write.head, total - write.tail])?;
            let tail: Option<u64> = c
                .prepare_cached("SELECT min(\"offset\") FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3")?
                .query_row(params![task.0, number(stream), write.head], |row| row.get(0))?;
            gap = tail
                .map(|tail| tail - write.head)
                .filter(|length| *length > 0);
        }
        set_figures(
            c,
            task,
            stream,
            total,
            gap.map(|length| (write.head, length)),
        )?;
    }
    Ok(())
}

/// Cuts the tail to its exact length, at the end of a task.
pub(super) fn settle(c: &Connection, task: TaskId, write: &OutputWrite) -> Result<(), Fault> {
    for (stream, total) in Stream::ALL.into_iter().zip(write.totals) {
        if total <= write.head + write.tail {
            continue;
        }
        let keep_from = total - write.tail;
        let first = c
            .prepare_cached(
                "SELECT \"offset\", at, runs, data, length, rowid FROM output
                 WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 AND \"offset\" < ?4",
            )?
            .query_row(
                params![task.0, number(stream), write.head, keep_from],
                |row| Ok((Stored::load(row)?, row.get::<_, i64>(5)?)),
            )
            .optional()?;
        let Some((mut chunk, rowid)) = first else {
            continue;
        };
        chunk.skip_to(keep_from);
        let (runs, data) = (chunk.rest_of_runs(), &chunk.data[chunk.taken..]);
        c.prepare_cached("UPDATE output SET \"offset\" = ?2, length = ?3, at = ?4, runs = ?5, data = ?6 WHERE rowid = ?1")?
            .execute(params![
                rowid,
                keep_from,
                data.len(),
                runs.first().map_or(0, |run| run.0),
                (runs.len() > 1).then(|| encode(&runs)),
                data
            ])?;
        set_figures(
            c,
            task,
            stream,
            total,
            Some((write.head, keep_from - write.head)),
        )?;
    }
    Ok(())
}

fn set_figures(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    total: u64,
    gap: Option<(u64, u64)>,
) -> rusqlite::Result<()> {
    let [bytes, offset, length] = figure_columns(stream);
    c.prepare_cached(&format!(
        "UPDATE tasks SET {bytes} = ?2, {offset} = ?3, {length} = ?4 WHERE id = ?1"
    ))?
    .execute(params![task.0, total, gap.map(|g| g.0), gap.map(|g| g.1)])?;
    Ok(())
}

/// Whether a stream, as it is shown, is this text. What is shown is never shorter than a third of
/// its text (a byte that is not UTF-8 shows as three), so that a long stream is not read for
/// nothing.
pub(super) fn reads_as(
    c: &Connection,
    it: &Task,
    stream: Stream,
    text: &str,
) -> rusqlite::Result<bool> {
    if it.stream(stream).kept() > text.len() as u64 {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    let mut cursor = [0, 0];
    let wanted = Stream::ALL.map(|s| s == stream);
    let mut shown = String::new();
    loop {
        let pieces = read(c, it.id, wanted, cursor, CHUNK)?;
        if pieces.is_empty() {
            shown.push_str(&String::from_utf8_lossy(&bytes));
            return Ok(shown == text);
        }
        for piece in pieces {
            advance(&mut cursor, &piece);
            match piece {
                Piece::Data { bytes: more, .. } => bytes.extend_from_slice(&more),
                Piece::Gap { .. } => {
                    shown.push_str(&String::from_utf8_lossy(&std::mem::take(&mut bytes)))
                }
            }
        }
    }
}

/// Moves a cursor (offsets of stdout and stderr) behind a piece.
fn advance(cursor: &mut [u64; 2], piece: &Piece) {
    let (stream, end) = match piece {
        Piece::Data {
            stream,
            offset,
            bytes,
        } => (stream, offset + bytes.len() as u64),
        Piece::Gap {
            stream,
            offset,
            length,
        } => (stream, offset + length),
    };
    cursor[*stream as usize] = end;
}

/// Reads on from a cursor, in the order in which the bytes came, about `most` bytes. Nothing where
/// there is no more yet.
fn read(
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
struct Stored {
    offset: u64,
    data: Bytes,
    taken: usize,
    /// What is left of the runs, the next one last.
    runs: Vec<(u64, u64)>,
}

impl Stored {
    /// From a row that begins with offset, at, runs, data, length.
    fn load(row: &Row) -> rusqlite::Result<Self> {
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

    fn skip_to(&mut self, position: u64) {
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

    fn rest_of_runs(&self) -> Vec<(u64, u64)> {
        self.runs.iter().rev().copied().collect()
    }
}

/// Runs as pairs of LEB128 numbers: bytes of the other stream since the end of the run before, and
/// the length. The first run begins at the piece's `at`.
fn encode(runs: &[(u64, u64)]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(runs.len() * 3);
    let mut end = runs.first().map_or(0, |run| run.0);
    for &(at, length) in runs {
        for mut number in [at - end, length] {
            while number >= 0x80 {
                encoded.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            encoded.push(number as u8);
        }
        end = at + length;
    }
    encoded
}

fn decode(mut at: u64, encoded: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut bytes = encoded.iter();
    let mut number = || {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut runs = Vec::new();
    while let Some(skip) = number() {
        let length = number()?;
        at += skip;
        runs.push((at, length));
        at += length;
    }
    Some(runs)
}

impl Store {
    /// Stores output of a running task.
    ///
    /// # Errors
    /// `Unavailable`: nothing is written, and the same call may be made again.
    pub async fn append_output(&self, task: TaskId, output: Arc<OutputWrite>) -> Result<()> {
        self.write(move |c| write(c, task, &output)).await
    }

    /// Reads on from a cursor (offsets of stdout and stderr), in the order in which the bytes
    /// came, about 256 KiB, and moves the cursor behind what it gives. Nothing where there is no
    /// more yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn read_output(
        &self,
        task: TaskId,
        wanted: &[Stream],
        cursor: &mut [u64; 2],
    ) -> Result<Vec<Piece>> {
        let from = *cursor;
        let wanted = Stream::ALL.map(|s| wanted.contains(&s));
        let pieces = self
            .read(move |c| read(c, task, wanted, from, CHUNK))
            .await?;
        for piece in &pieces {
            advance(cursor, piece);
        }
        Ok(pieces)
    }

    /// What a stream is shown as, where it was amended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn amended_output(&self, task: &Task, stream: Stream) -> Result<Option<String>> {
        let task = task.clone();
        self.read(move |c| amendments::amended(c, &task, stream))
            .await
    }

    /// How many bytes of both streams had come when the first `offset` bytes of one had. None where
    /// the byte before the offset is not kept.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn output_position(
        &self,
        task: TaskId,
        stream: Stream,
        offset: u64,
    ) -> Result<Option<u64>> {
        let chunk = self.read(move |c| chunk_before(c, task, stream, offset));
        Ok(chunk.await?.and_then(|mut chunk| {
            chunk.skip_to(offset.checked_sub(1)?);
            chunk.runs.last().map(|run| run.0 + 1)
        }))
    }
}

/// The piece that holds the byte before an offset.
fn chunk_before(
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
