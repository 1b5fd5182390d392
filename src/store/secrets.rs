//! All that is sealed, whatever it belongs to: to be opened again, or sealed under another key.

use super::Store;
use super::audit::{self, Act};
use crate::domain::{By, IdentityId, Result, Sealed, SealedPlace, UserId};
use rusqlite::{Connection, Row, params};
use serde_json::json;

fn sealed(row: &Row) -> rusqlite::Result<(SealedPlace, Sealed)> {
    let (id, field): (i64, String) = (row.get(0)?, row.get(1)?);
    let place = match field.as_str() {
        "value" => SealedPlace::Value(IdentityId(id)),
        "passphrase" => SealedPlace::Passphrase(IdentityId(id)),
        _ => SealedPlace::SecondFactor(UserId(id)),
    };
    let sealed = Sealed {
        key: row.get(2)?,
        bytes: row.get(3)?,
    };
    Ok((place, sealed))
}

/// Puts a value in the place of another, and nothing where that one is not there any more.
fn replace(
    c: &Connection,
    place: SealedPlace,
    (old, new): (&Sealed, &Sealed),
) -> rusqlite::Result<bool> {
    let (sql, id) = match place {
        SealedPlace::Value(id) => (
            "UPDATE secrets SET key = ?3, sealed = ?4
             WHERE identity = ?1 AND field = 'value' AND sealed = ?2",
            id.0,
        ),
        SealedPlace::Passphrase(id) => (
            "UPDATE secrets SET key = ?3, sealed = ?4
             WHERE identity = ?1 AND field = 'passphrase' AND sealed = ?2",
            id.0,
        ),
        SealedPlace::SecondFactor(id) => (
            "UPDATE second_factors SET key = ?3, sealed = ?4 WHERE user = ?1 AND sealed = ?2",
            id.0,
        ),
    };
    let changed = c
        .prepare_cached(sql)?
        .execute(params![id, old.bytes, new.key, new.bytes])?;
    Ok(changed > 0)
}

impl Store {
    /// All that is sealed: of identities, and of second factors.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn all_sealed(&self) -> Result<Vec<(SealedPlace, Sealed)>> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT identity, field, key, sealed FROM secrets
                 UNION ALL SELECT user, 'second_factor', key, sealed FROM second_factors",
            )?
            .query_map([], sealed)?
            .collect()
        })
        .await
    }

    /// What changes with each change of an identity.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn identities_stamp(&self) -> Result<(i64, i64, i64)> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT count(*), coalesce(max(id), 0), coalesce(sum(version), 0) FROM identities",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        })
        .await
    }

    /// Puts values, all or none of them, in the place of those that they were made from: what was
    /// changed or removed meanwhile stays as it is. Gives how many were replaced.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reseal(
        &self,
        values: Vec<(SealedPlace, Sealed, Sealed)>,
        by: By,
    ) -> Result<usize> {
        self.act(by, move |c, by| {
            let mut replaced = 0;
            for (place, old, new) in &values {
                replaced += usize::from(replace(c, *place, (old, new))?);
            }
            let act = Act {
                action: "secret.rekey",
                object: "secrets".into(),
                detail: json!({
                    "values": replaced, "key": values.first().map(|(_, _, new)| &new.key),
                }),
            };
            audit::append(c, by, act)?;
            Ok(replaced)
        })
        .await
    }
}
