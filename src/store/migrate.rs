use super::backup::copy;
use super::{OpenError, private_file};
use rusqlite::{Connection, TransactionBehavior};
use std::fs;
use std::path::Path;

/// Schema changes, in order; the position of one, from 1, is its number in `user_version`. What is
/// released is never edited: a change is a new one at the end.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_runs.sql"),
    include_str!("migrations/0003_machines.sql"),
    include_str!("migrations/0004_access.sql"),
    include_str!("migrations/0005_openid.sql"),
    include_str!("migrations/0006_lines.sql"),
    include_str!("migrations/0007_home.sql"),
    include_str!("migrations/0009_search.sql"),
];

/// Keeps a store of an older schema as it is, in a file of its own beside it, before [`migrate`]
/// changes it.
///
/// # Errors
/// [`OpenError::Kept`]: nothing is changed then.
pub fn keep_old(connection: &Connection, dir: &Path) -> Result<(), OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // One that is new holds nothing yet; what a newer program wrote is refused by `migrate`.
    if found == 0 || found >= MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let file = dir.join(format!("wsexec.db.schema-{found}"));
    tracing::info!(file = %file.display(), "the store is of an older program; it is copied before it is brought up to date");
    let kept = |cause: &dyn ToString| OpenError::Kept {
        file: file.clone(),
        cause: cause.to_string(),
    };
    // Whole or not there at all, for its owner alone; what a kill left behind is done again.
    let part = file.with_added_extension("part");
    let new = private_file(&part).map_err(|it| kept(&it))?;
    new.set_len(0).map_err(|it| kept(&it))?;
    copy(connection, &part).map_err(|it| kept(&it))?;
    new.sync_all().map_err(|it| kept(&it))?;
    fs::rename(&part, &file).map_err(|it| kept(&it))?;
    Ok(())
}

/// Brings the schema up to date, each step in a transaction of its own, so that a kill in the
/// middle leaves the one or the other.
pub fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    loop {
        // Immediate, and the version read inside: two programs that open a new store at once take
        // turns.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = MIGRATIONS.len() as i64;
        let next = usize::try_from(found)
            .ok()
            .and_then(|done| MIGRATIONS.get(done));
        match next {
            Some(sql) => {
                if found > 0 {
                    tracing::info!(
                        from = found,
                        "the store is brought up to date; a long history takes a while"
                    );
                }
                transaction.execute_batch(sql)?;
                transaction.pragma_update(None, "user_version", found + 1)?;
                transaction.commit()?;
            }
            None if found == known => return Ok(()),
            None => return Err(OpenError::Newer { found, known }),
        }
    }
}

/// Whether the schema is this program's own; false for an older one.
///
/// # Errors
/// [`OpenError::Newer`].
pub fn check(connection: &Connection) -> Result<bool, OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(found == known)
}
