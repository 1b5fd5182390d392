//! The audit trail: written in the transaction of what it tells of, and never changed.

use rusqlite::{Connection, params};

/// Who did what to what, and when.
pub(super) struct Entry<'a> {
    /// Unix seconds.
    pub at: i64,
    pub by: &'a str,
    /// A noun and a verb, such as `host_key.approve`.
    pub action: String,
    /// A noun and an id, such as `instance/3`.
    pub object: String,
    /// A JSON object.
    pub detail: String,
}

pub(super) fn append(c: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO audit (at, by, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        entry.at,
        entry.by,
        entry.action,
        entry.object,
        entry.detail
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate::migrate;

    #[test]
    fn what_is_in_the_trail_neither_changes_nor_goes() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate(&mut c).unwrap();
        let entry = Entry {
            at: 1,
            by: "admin",
            action: "host_key.approve".into(),
            object: "instance/1".into(),
            detail: "{}".into(),
        };
        append(&c, &entry).unwrap();
        for attempt in ["UPDATE audit SET by = 'x'", "DELETE FROM audit"] {
            let refused = c.execute(attempt, []).unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
    }
}
