use super::fault::Fault;
use super::output;
use crate::domain::{Amendment, Error, Stream, Task};
use rusqlite::{Connection, OptionalExtension, params};

/// Changes the result of a task and keeps what the values were. What is given as it already is
/// changes nothing, and so is taken in every state.
pub fn amend(
    c: &Connection,
    it: &mut Task,
    change: Amendment,
    by: &str,
    now: i64,
) -> Result<(), Fault> {
    let mut log = Log {
        c,
        task: it.id.0,
        ended: it.state.has_ended(),
        by,
        now,
        changed: false,
    };
    if let Some(name) = change.name.filter(|name| *name != it.name) {
        log.note("name", Some(&it.name))?;
        it.name = name;
    }
    if let Some(tag) = change.tag.filter(|tag| *tag != it.tag) {
        log.note("tag", Some(&it.tag))?;
        it.tag = tag;
    }
    if let Some(rc) = change.rc.filter(|rc| *rc != it.rc) {
        log.note(
            "rc",
            Some(&it.rc.map_or_else(|| "null".to_owned(), |rc| rc.to_string())),
        )?;
        it.rc = rc;
    }
    for (stream, text) in [
        (Stream::Stdout, change.stdout),
        (Stream::Stderr, change.stderr),
    ] {
        let Some(text) = text else { continue };
        let shown = amended(c, it, stream)?;
        let unchanged = match &shown {
            Some(old) => *old == text,
            None => output::reads_as(c, it, stream, &text)?,
        };
        if unchanged {
            continue;
        }
        log.note(stream.as_str(), shown.as_deref())?;
        c.prepare_cached("INSERT INTO amended_output (task, stream, text) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text")?
            .execute(params![it.id.0, output::number(stream), text])?;
        match stream {
            Stream::Stdout => it.stdout_amended = true,
            Stream::Stderr => it.stderr_amended = true,
        }
    }
    if log.changed {
        it.amended = true;
        it.version += 1;
    }
    Ok(())
}

/// What a stream is shown as since it was amended.
pub fn amended(c: &Connection, it: &Task, stream: Stream) -> rusqlite::Result<Option<String>> {
    if !it.is_amended(stream) {
        return Ok(None);
    }
    c.prepare_cached("SELECT text FROM amended_output WHERE task = ?1 AND stream = ?2")?
        .query_row(params![it.id.0, output::number(stream)], |row| row.get(0))
        .optional()
}

struct Log<'a> {
    c: &'a Connection,
    task: i64,
    ended: bool,
    by: &'a str,
    now: i64,
    changed: bool,
}

impl Log<'_> {
    fn note(&mut self, field: &str, old: Option<&str>) -> Result<(), Fault> {
        if !self.ended {
            return Err(Error::conflict(format!(
                "{field}: it can be changed only after the task has ended."
            ))
            .into());
        }
        self.changed = true;
        self.c
            .prepare_cached(
                "INSERT INTO amendments (task, at, by, field, old) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.task, self.now, self.by, field, old])?;
        Ok(())
    }
}
