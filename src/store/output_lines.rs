//! Which line of a stream is where, without reading the stream.

use super::Store;
use super::output::{Chunk, number};
use super::output_read::{Stored, chunk_before};
use crate::domain::{Result, Stream, TaskId};
use rusqlite::{Connection, OptionalExtension, params};

/// How much of output whose lines were not counted when it was kept is read to count them.
const COUNTED: u64 = 32 * 1024 * 1024;

fn line_ends(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Notes which lines a piece has, as far as those before it are known.
pub(super) fn note(c: &Connection, task: TaskId, chunk: &Chunk) -> rusqlite::Result<()> {
    let stream = number(chunk.stream);
    let before: Option<u64> = c
        .prepare_cached(
            "SELECT line + ends FROM output_lines WHERE task = ?1 AND stream = ?2 AND \"offset\" < ?3
             ORDER BY \"offset\" DESC LIMIT 1",
        )?
        .query_row(params![task.0, stream, chunk.offset], |row| row.get(0))
        .optional()?;
    let line = match before {
        Some(before) => before + chunk.skipped,
        None if chunk.offset == 0 => 0,
        None => return Ok(()),
    };
    c.prepare_cached("INSERT INTO output_lines (task, stream, \"offset\", line, ends) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![task.0, stream, chunk.offset, line, line_ends(&chunk.data)])?;
    Ok(())
}

/// Forgets the pieces that begin in a range; they are kept no more.
pub(super) fn forget(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    (from, to): (u64, u64),
) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM output_lines WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 AND \"offset\" < ?4")?
        .execute(params![task.0, number(stream), from, to])?;
    Ok(())
}

/// A piece that began with `cut` begins behind it now, at an offset.
pub(super) fn shorten(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    offset: u64,
    cut: &[u8],
) -> rusqlite::Result<()> {
    c.prepare_cached(
        "UPDATE output_lines SET \"offset\" = ?4, line = line + ?5, ends = ends - ?5
         WHERE task = ?1 AND stream = ?2 AND \"offset\" = ?3",
    )?
    .execute(params![
        task.0,
        number(stream),
        offset - cut.len() as u64,
        offset,
        line_ends(cut)
    ])?;
    Ok(())
}

/// The last noted piece that is behind nothing of what is asked for: where it begins, and its line.
fn noted(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    at: At,
) -> rusqlite::Result<Option<(u64, u64)>> {
    let (sql, value) = match at {
        At::Offset(offset) => (
            "SELECT \"offset\", line FROM output_lines WHERE task = ?1 AND stream = ?2 AND \"offset\" <= ?3
             ORDER BY \"offset\" DESC LIMIT 1",
            offset,
        ),
        At::Line(line) => (
            "SELECT \"offset\", line FROM output_lines WHERE task = ?1 AND stream = ?2 AND line < ?3
             ORDER BY line DESC, \"offset\" DESC LIMIT 1",
            line,
        ),
    };
    c.prepare_cached(sql)?
        .query_row(params![task.0, number(stream), value], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
}

#[derive(Clone, Copy)]
enum At {
    Offset(u64),
    Line(u64),
}

/// Walks over the pieces from one on; `look` gets where each begins and what it holds, and says
/// whether to go on. False where there is too much to walk over.
fn walk(
    c: &Connection,
    (task, stream): (TaskId, Stream),
    from: u64,
    mut look: impl FnMut(u64, &[u8]) -> bool,
) -> rusqlite::Result<bool> {
    let mut statement = c.prepare_cached(
        "SELECT \"offset\", data FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 ORDER BY \"offset\"",
    )?;
    let mut rows = statement.query(params![task.0, number(stream), from])?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob()?;
        if !look(row.get(0)?, data) {
            break;
        }
        read += data.len() as u64;
        if read > COUNTED {
            return Ok(false);
        }
    }
    Ok(true)
}

fn line_at(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    offset: u64,
) -> rusqlite::Result<Option<u64>> {
    let (from, mut line) = noted(c, task, stream, At::Offset(offset))?.unwrap_or((0, 0));
    let known = walk(c, (task, stream), from, |begin, data| {
        if begin >= offset {
            return false;
        }
        let wanted = usize::try_from(offset - begin).unwrap_or(usize::MAX);
        line += line_ends(&data[..data.len().min(wanted)]);
        true
    })?;
    Ok(known.then_some(line))
}

fn offset_of(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    line: u64,
) -> rusqlite::Result<Option<u64>> {
    let noted = noted(c, task, stream, At::Line(line))?;
    let (from, before) = noted.unwrap_or((0, 0));
    let mut left = line - before;
    let mut found = from;
    let known = walk(c, (task, stream), from, |begin, data| {
        found = begin;
        let mut ends = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        while left > 0
            && let Some((place, _)) = ends.next()
        {
            left -= 1;
            found = begin + place as u64 + 1;
        }
        if left > 0 {
            found = begin + data.len() as u64;
        }
        // Where that piece is noted, what it has not is in none that is kept.
        left > 0 && noted.is_none()
    })?;
    Ok(known.then_some(found))
}

/// Where the piece of one stream begins that lies at or before a position among the bytes of both.
fn piece_at(
    c: &Connection,
    task: TaskId,
    stream: Stream,
    (end, position): (u64, u64),
) -> rusqlite::Result<Option<(u64, u64)>> {
    c.prepare_cached(
        "SELECT \"offset\", at FROM output WHERE task = ?1 AND stream = ?2 AND \"offset\" < ?3 AND at <= ?4
         ORDER BY \"offset\" DESC LIMIT 1",
    )?
    .query_row(params![task.0, number(stream), end, position], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .optional()
}

/// The place in both streams where so many bytes of both had come when a piece began.
fn both(stream: Stream, offset: u64, at: u64) -> [u64; 2] {
    let mut place = [at.saturating_sub(offset); 2];
    place[stream as usize] = offset;
    place
}

impl Store {
    /// The line, from 0, that a byte of a stream is in: the line ends before it, also of what is not
    /// kept, where they were counted. None where too much would have to be read.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn line_at(&self, task: TaskId, stream: Stream, offset: u64) -> Result<Option<u64>> {
        self.read(move |c| line_at(c, task, stream, offset)).await
    }

    /// Where a line of a stream, from 0, begins; where there is no such line, the end. None where
    /// too much would have to be read.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn offset_of_line(
        &self,
        task: TaskId,
        stream: Stream,
        line: u64,
    ) -> Result<Option<u64>> {
        self.read(move |c| offset_of(c, task, stream, line)).await
    }

    /// The place in both streams (offsets of stdout and stderr) when the first `offset` bytes of one
    /// had come.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn place_of(&self, task: TaskId, stream: Stream, offset: u64) -> Result<[u64; 2]> {
        self.read(move |c| {
            let place = match chunk_before(c, task, stream, offset)? {
                Some(mut chunk) => {
                    chunk.skip_to(offset.saturating_sub(1));
                    chunk.runs.last().map(|run| both(stream, offset, run.0 + 1))
                }
                // The byte before it is not kept: then what begins there.
                None => c
                    .prepare_cached(
                        "SELECT \"offset\", at, runs, data, length FROM output
                         WHERE task = ?1 AND stream = ?2 AND \"offset\" >= ?3 ORDER BY \"offset\" LIMIT 1",
                    )?
                    .query_row(params![task.0, number(stream), offset], Stored::load)
                    .optional()?
                    .and_then(|chunk| chunk.begin().map(|(offset, at)| both(stream, offset, at))),
            };
            Ok(place.unwrap_or_else(|| both(stream, offset, offset)))
        })
        .await
    }

    /// A place in both streams at which a piece begins, at least `bytes` before another place, or
    /// their beginning.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn place_before(
        &self,
        task: TaskId,
        place: [u64; 2],
        bytes: u64,
    ) -> Result<[u64; 2]> {
        let position = (place[0] + place[1]).saturating_sub(bytes);
        self.read(move |c| {
            let mut found: Option<(u64, [u64; 2])> = None;
            for stream in Stream::ALL {
                let end = place[stream as usize];
                if let Some((offset, at)) = piece_at(c, task, stream, (end, position))?
                    && found.is_none_or(|(best, _)| at > best)
                {
                    found = Some((at, both(stream, offset, at)));
                }
            }
            Ok(found.map_or([0, 0], |(_, place)| place))
        })
        .await
    }

    /// The last tasks that ran the same script to its end with 0 before this one, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn good_runs_before(&self, task: TaskId, most: u32) -> Result<Vec<TaskId>> {
        self.read(move |c| {
            c.prepare_cached(
                "SELECT good.id FROM tasks this CROSS JOIN tasks good INDEXED BY tasks_good
                 WHERE this.id = ?1 AND good.state = 'DONE' AND good.rc = 0
                   AND length(good.script) = length(this.script)
                   AND substr(good.script, 1, 64) = substr(this.script, 1, 64)
                   AND good.id < this.id AND good.script = this.script
                 ORDER BY good.id DESC LIMIT ?2",
            )?
            .query_map(params![task.0, most], |row| row.get(0).map(TaskId))?
            .collect()
        })
        .await
    }
}
