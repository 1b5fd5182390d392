//! The pages of the file: what nothing uses goes back to the file system.

use super::disk::Disk;
use super::retention::TURN;
use super::{OpenError, Store};
use crate::domain::Result;
use rusqlite::Connection;
use std::time::Instant;

/// The mode of SQLite in which pages can be given back some at a time.
const INCREMENTAL: i64 = 2;
/// Free pages that stay, for what comes next.
const SPARE: u64 = 256;

/// How large the store is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// What holds something.
    pub used: u64,
    /// What nothing uses, and is not given back yet.
    pub free: u64,
}

fn number(c: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    c.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Has a store that is still empty give its pages back.
pub(super) fn begin(c: &Connection) -> rusqlite::Result<()> {
    match number(c, "page_count")? {
        0 => c.pragma_update(None, "auto_vacuum", INCREMENTAL),
        _ => Ok(()),
    }
}

/// Has the store of an older program give its pages back too: all of it is written anew for that,
/// once, in one transaction. Where that cannot be, the store is used as it is: what is removed
/// makes room in the file, and the file stays as large as it is.
///
/// # Errors
/// Those of SQLite, where the store cannot be read.
pub(super) fn convert(c: &Connection, disk: &Disk) -> Result<(), OpenError> {
    let mode: i64 = c.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if mode == INCREMENTAL {
        return Ok(());
    }
    // A copy in a temporary file, and another one in the log.
    let needed = 2 * number(c, "page_count")? * number(c, "page_size")?;
    if disk.free().is_ok_and(|free| free < needed) {
        tracing::warn!(
            needed,
            "the store cannot give room back to the disk: a start with so many bytes free makes it so"
        );
        return Ok(());
    }
    tracing::info!("the store is written anew, once, so that it can give room back to the disk");
    let written = c
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    if let Err(error) = written {
        tracing::warn!(%error, "the store cannot give room back to the disk; the next start tries again");
    }
    Ok(())
}

impl Store {
    /// Gives some of the pages back that nothing uses, and tells how many; 0 where there are too few
    /// to be worth it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn give_back(&self) -> Result<u64> {
        if self.read(|c| number(c, "freelist_count")).await? <= SPARE {
            return Ok(0);
        }
        self.write_freeing(|c| {
            let began = Instant::now();
            let before = number(c, "freelist_count")?;
            let mut statement = c.prepare_cached("PRAGMA incremental_vacuum")?;
            // A step for each page.
            let mut pages = statement.query([])?;
            let mut left = before.saturating_sub(SPARE);
            while left > 0 && began.elapsed() < TURN && pages.next()?.is_some() {
                left -= 1;
            }
            drop(pages);
            drop(statement);
            Ok(before.saturating_sub(number(c, "freelist_count")?))
        })
        .await
    }

    /// Brings what the log holds into the file, cuts the file to its length, and empties the log,
    /// unless a reader still needs it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn empty_log(&self) -> Result<()> {
        self.inner.writer.empty_log().await
    }

    /// How large the store is now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn size(&self) -> Result<StoreSize> {
        self.read(|c| {
            let page = number(c, "page_size")?;
            let free = number(c, "freelist_count")?;
            Ok(StoreSize {
                used: (number(c, "page_count")? - free) * page,
                free: free * page,
            })
        })
        .await
    }
}
