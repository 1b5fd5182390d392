use super::Store;
use super::rows::unknown_word;
use crate::domain::{Health, InstanceId, Result, SshLibrary};
use rusqlite::{Connection, Row, params};

/// The columns of [`row`], in its order.
pub(super) const COLUMNS: &str = "seen, latency_ms, error, error_at, library";

/// Reads the columns from the place `first` on; all are null where nothing is known.
pub(super) fn row(row: &Row, first: usize) -> rusqlite::Result<Health> {
    let library: Option<String> = row.get(first + 4)?;
    let library = library
        .map(|word| SshLibrary::parse(&word).ok_or_else(|| unknown_word(first + 4, word)))
        .transpose()?;
    Ok(Health {
        last_seen: row.get(first)?,
        latency_ms: row.get(first + 1)?,
        last_error: row.get(first + 2)?,
        last_error_at: row.get(first + 3)?,
        library,
    })
}

pub(super) fn forget(c: &Connection, id: InstanceId) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM instance_health WHERE instance = ?1")?
        .execute([id.0])?;
    Ok(())
}

impl Store {
    /// Lays news over what is known of instances; those that are gone are passed over.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_health(&self, news: Vec<(InstanceId, Health)>) -> Result<()> {
        self.write(move |c| {
            let mut note = c.prepare_cached(
                "INSERT INTO instance_health (instance, seen, latency_ms, error, error_at, library)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM instances WHERE id = ?1)
                 ON CONFLICT (instance) DO UPDATE SET
                     seen = coalesce(excluded.seen, seen),
                     latency_ms = coalesce(excluded.latency_ms, latency_ms),
                     error = coalesce(excluded.error, error),
                     error_at = coalesce(excluded.error_at, error_at),
                     library = coalesce(excluded.library, library)",
            )?;
            for (id, health) in news {
                note.execute(params![
                    id.0,
                    health.last_seen,
                    health.latency_ms,
                    health.last_error,
                    health.last_error_at,
                    health.library.map(SshLibrary::as_str)
                ])?;
            }
            Ok(())
        })
        .await
    }
}
