use super::rows::unknown_word;
use crate::domain::{Become, BecomeMethod, Launch, NewTask, RemoteProcess};
use rusqlite::Row;
use rusqlite::types::Type;

/// How a task is run, from `env, cwd, interpreter, become_method, become_user, become_password,
/// pty`, the first of which is column `first`.
pub fn launch(row: &Row, first: usize) -> rusqlite::Result<Launch> {
    let env: Option<String> = row.get(first)?;
    let method: Option<String> = row.get(first + 3)?;
    Ok(Launch {
        env: match env {
            Some(text) => serde_json::from_str(&text).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(first, Type::Text, Box::new(error))
            })?,
            None => Vec::new(),
        },
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

/// The environment as it is stored.
pub fn env(new: &NewTask) -> Option<String> {
    let env = &new.launch.env;
    (!env.is_empty()).then(|| serde_json::json!(env).to_string())
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
