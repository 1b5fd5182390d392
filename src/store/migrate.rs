use super::OpenError;
use rusqlite::{Connection, TransactionBehavior};

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
];

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
