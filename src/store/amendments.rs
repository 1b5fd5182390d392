use super::fault::Fault;
use super::output;
use crate::domain::{Amendment, Error, Stream, Task};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

/// Changes the result of a task, and gives what the values were; null for what ran, which the output
/// table keeps. What is given as it already is changes nothing, and so is taken in every state.
pub fn amend(
    c: &Connection,
    it: &mut Task,
    change: Amendment,
) -> Result<Map<String, Value>, Fault> {
    let mut log = Log {
        ended: it.state.has_ended(),
        old: Map::new(),
    };
    if let Some(name) = change.name.filter(|name| *name != it.name) {
        log.note("name", json!(it.name))?;
        it.name = name;
    }
    if let Some(tag) = change.tag.filter(|tag| *tag != it.tag) {
        log.note("tag", json!(it.tag))?;
        it.tag = tag;
    }
    if let Some(rc) = change.rc.filter(|rc| *rc != it.rc) {
        log.note("rc", json!(it.rc))?;
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
        log.note(stream.as_str(), json!(shown))?;
        c.prepare_cached("INSERT INTO amended_output (task, stream, text) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text")?
            .execute(params![it.id.0, output::number(stream), text])?;
        match stream {
            Stream::Stdout => it.stdout_amended = true,
            Stream::Stderr => it.stderr_amended = true,
        }
    }
    if !log.old.is_empty() {
        it.amended = true;
        it.version += 1;
    }
    Ok(log.old)
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

struct Log {
    ended: bool,
    old: Map<String, Value>,
}

impl Log {
    fn note(&mut self, field: &str, old: Value) -> Result<(), Fault> {
        if !self.ended {
            return Err(Error::conflict(format!(
                "{field}: it can be changed only after the task has ended."
            ))
            .into());
        }
        self.old.insert(field.to_owned(), old);
        Ok(())
    }
}
