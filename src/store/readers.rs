use super::fault::from_sqlite;
use crate::domain::{Error, Result};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a caller waits for a free connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that read, each a snapshot of its own beside the writer. Reads are short: a long
/// one would keep the write-ahead log from shrinking.
pub struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn open(
        count: usize,
        connect: impl Fn() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Self> {
        let free = (0..count)
            .map(|_| connect())
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self {
            free: Arc::new(Mutex::new(free)),
            permits: Arc::new(Semaphore::new(count)),
        })
    }

    /// Runs `f` on a free connection, off the async workers, in one read transaction.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let busy = || Error::unavailable("The store is busy. Try again later.", 5);
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        let free = Arc::clone(&self.free);
        let job = move || {
            let connection = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut lent = Lent { connection, free };
            let outcome = match &mut lent.connection {
                Some(connection) => snapshot(connection, f),
                None => Err(rusqlite::Error::InvalidQuery),
            };
            drop(lent);
            drop(permit);
            outcome
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(Error::internal)?
            .map_err(from_sqlite)
    }
}

fn snapshot<T>(
    connection: &mut Connection,
    f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let value = f(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Gives the connection back also where `f` panics.
struct Lent {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
