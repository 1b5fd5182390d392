use super::rows::unknown_word;
use crate::domain::{Become, BecomeMethod, Launch, RemoteProcess};
use rusqlite::Row;
use rusqlite::types::Type;

/// How a task is run, from `env, cwd, interpreter, become_method, become_user, become_password,
/// pty`, the first of which is column `first`.
pub fn launch(row: &Row, first: usize) -> rusqlite::Result<Launch> {
    let method: Option<String> = row.get(first + 3)?;
    Ok(Launch {
        env: pairs(row, first)?,
        cwd: row.get(first + 1)?,
        interpreter: row.get(first + 2)?,
        become_user: match method {
            Some(word) => Some(Become {
                method: BecomeMethod::parse(&word).ok_or_else(|| unknown_word(first + 3, word))?,
                user: row.get(first + 4)?,
                password: row.get(first + 5)?,
            }),
            None => None,
        },
        pty: row.get(first + 6)?,
    })
}

/// Pairs of texts, as [`pairs_text`] writes them.
pub fn pairs(row: &Row, column: usize) -> rusqlite::Result<Vec<(String, String)>> {
    let text: Option<String> = row.get(column)?;
    match text {
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
        }),
        None => Ok(Vec::new()),
    }
}

/// Pairs of texts as they are stored: null where there is none.
pub fn pairs_text(pairs: &[(String, String)]) -> Option<String> {
    (!pairs.is_empty()).then(|| serde_json::json!(pairs).to_string())
}

/// The process of a run, from `process_pid, process_started, process_boot, process_connection`.
pub fn process(row: &Row, first: usize) -> rusqlite::Result<Option<RemoteProcess>> {
    let pid: Option<u32> = row.get(first)?;
    pid.map(|pid| {
        Ok(RemoteProcess {
            pid,
            started: row.get(first + 1)?,
            boot: row.get(first + 2)?,
            connection: row.get(first + 3)?,
        })
    })
    .transpose()
}
