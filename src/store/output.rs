use super::fault::Fault;
use super::output_lines as lines;
use super::output_read::{Stored, chunk_before, read};
use super::output_runs::encode;
use super::tasks::figure_columns;
use super::{Store, amendments};
use crate::domain::{Gap, Result, Stream, Task, TaskId};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// The largest piece that is stored, in bytes.
pub const CHUNK: usize = 256 * 1024;

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
    /// Line ends of the stream between the piece before and this one, which are not kept.
    pub skipped: u64,
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
    /// What was left out before it came here. Where this is told, head and tail count for nothing:
    /// all that came is kept.
    pub gaps: Option<[Option<Gap>; 2]>,
    /// How often a secret was masked in all.
    pub masked: u64,
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
        lines::note(c, task, chunk)?;
    }
    if write.masked > 0 {
        c.prepare_cached("UPDATE tasks SET masked = max(masked, ?2) WHERE id = ?1")?
            .execute(params![task.0, write.masked])?;
    }
    for (stream, total) in Stream::ALL.into_iter().zip(write.totals) {
        if let Some(gaps) = write.gaps {
            let gap = gaps[stream as usize].map(|gap| (gap.offset, gap.length));
            set_figures(c, task, stream, total, gap)?;
            continue;
        }
        let mut gap = None;
        if total > write.head + write.tail {
            c.prepare_cached("DELETE FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 AND \"offset\" + length <= ?4")?
                .execute(params![task.0, number(stream), write.head, total - write.tail])?;
            let tail: Option<u64> = c
                .prepare_cached("SELECT min(\"offset\") FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3")?
                .query_row(params![task.0, number(stream), write.head], |row| row.get(0))?;
            if let Some(tail) = tail {
                lines::forget(c, task, stream, (write.head, tail))?;
            }
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
        if write.gaps.is_some() || total <= write.head + write.tail {
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
        let runs = chunk.rest_of_runs();
        let (cut, data) = chunk.data.split_at(chunk.taken);
        lines::shorten(c, task, stream, keep_from, cut)?;
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
