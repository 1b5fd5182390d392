//! How many tasks wait and run.

use crate::domain::Result;
use crate::store::Store;

impl Store {
    /// How many tasks are INIT, and how many CURRENT: each from an index that holds no other.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unended_tasks(&self) -> Result<(u64, u64)> {
        const COUNT: &str = "SELECT
            (SELECT count(*) FROM tasks INDEXED BY tasks_waiting WHERE state = 'INIT'),
            (SELECT count(*) FROM tasks INDEXED BY tasks_running WHERE state = 'CURRENT')";
        self.read(|c| {
            c.prepare_cached(COUNT)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
    }
}
