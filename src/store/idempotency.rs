use super::fault::Fault;
use crate::domain::{Error, Idempotency, Kind};
use rusqlite::{Connection, OptionalExtension, params};

/// Seconds for which a key is remembered.
const KEPT: i64 = 24 * 60 * 60;

/// What a key is for: whose, and on which route.
pub struct Scope<'a> {
    pub user: i64,
    pub route: &'static str,
    pub key: &'a Idempotency,
}

/// The object that this key made before. The writer is alone, so that of two racing requests the
/// second finds what the first made.
pub fn find(c: &Connection, scope: &Scope, now: i64) -> Result<Option<i64>, Fault> {
    let found: Option<(Vec<u8>, i64)> = c
        .prepare_cached(
            "SELECT fingerprint, object FROM idempotency
             WHERE user = ?1 AND route = ?2 AND key = ?3 AND created > ?4",
        )?
        .query_row(
            params![scope.user, scope.route, scope.key.key, now - KEPT],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match found {
        None => Ok(None),
        Some((fingerprint, object)) if fingerprint == scope.key.fingerprint => Ok(Some(object)),
        Some(_) => Err(Error::new(
            Kind::KeyReused,
            "This Idempotency-Key came before with another body. Use a new key for a new request.",
        )
        .into()),
    }
}

/// Remembers what the key made, and forgets what is too old.
pub fn remember(c: &Connection, scope: &Scope, object: i64, now: i64) -> Result<(), Fault> {
    c.prepare_cached("DELETE FROM idempotency WHERE created <= ?1")?
        .execute([now - KEPT])?;
    c.prepare_cached("INSERT INTO idempotency (user, route, key, fingerprint, object, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![scope.user, scope.route, scope.key.key, scope.key.fingerprint, object, now])?;
    Ok(())
}
