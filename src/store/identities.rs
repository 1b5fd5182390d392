use super::Store;
use super::audit::{self, Act};
use super::fault::Fault;
use super::rows::{scope, unknown_word};
use crate::domain::{
    By, Error, Identity, IdentityId, IdentityKind, IfMatch, Result, Scope, Sealed, SealedValues,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

const COLUMNS: &str =
    "id, name, kind, scope, host_keys, public_key, fingerprint, created, created_by, version";
/// The most identities: all of them are looked for in what scripts write.
const MOST: i64 = 1_000;
/// The most bytes of all secrets together, as they are stored: each is looked for in all output, in
/// some ten spellings, so that they cost memory.
const BYTES: i64 = 2 * 1024 * 1024;

/// What an identity is, or is to be: all but its secret.
#[derive(Debug, Clone)]
pub struct IdentityRow {
    /// See [`Identity::name`].
    pub name: String,
    /// See [`Identity::kind`].
    pub kind: IdentityKind,
    /// See [`Identity::scope`].
    pub scope: Scope,
    /// See [`Identity::host_keys`].
    pub host_keys: Vec<String>,
    /// See [`Identity::public_key`] and [`Identity::fingerprint`].
    pub public: Option<(String, String)>,
}

fn identity(row: &Row) -> rusqlite::Result<Identity> {
    let kind: String = row.get(2)?;
    let host_keys: String = row.get(4)?;
    let unreadable = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(4, Type::Text, error.into())
    };
    Ok(Identity {
        id: IdentityId(row.get(0)?),
        name: row.get(1)?,
        kind: IdentityKind::parse(&kind).ok_or_else(|| unknown_word(2, kind))?,
        scope: scope(row, 3)?,
        host_keys: serde_json::from_str(&host_keys).map_err(unreadable)?,
        public_key: row.get(5)?,
        fingerprint: row.get(6)?,
        created: row.get(7)?,
        created_by: row.get(8)?,
        version: row.get(9)?,
    })
}

fn object(id: IdentityId) -> String {
    format!("identity/{id}")
}

/// What the audit trail says of an identity.
fn told(it: &Identity) -> serde_json::Value {
    json!({
        "name": it.name, "kind": it.kind.as_str(), "scope": it.scope.rules(),
        "host_keys": it.host_keys, "fingerprint": it.fingerprint,
    })
}

fn get(c: &Connection, id: IdentityId) -> rusqlite::Result<Option<Identity>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM identities WHERE id = ?1"))?
        .query_row([id.0], identity)
        .optional()
}

fn named(c: &Connection, name: &str) -> rusqlite::Result<Option<Identity>> {
    c.prepare_cached(&format!("SELECT {COLUMNS} FROM identities WHERE name = ?1"))?
        .query_row([name], identity)
        .optional()
}

/// Nobody logs in with what is not there, or is no key.
///
/// # Errors
/// `Invalid`, naming the field of the instance.
pub(super) fn require_key(c: &Connection, name: Option<&str>) -> Result<(), Fault> {
    let Some(name) = name else { return Ok(()) };
    match named(c, name)? {
        Some(it) if it.kind == IdentityKind::SshKey => Ok(()),
        Some(_) => Err(Error::field("identity", format!("{name} is no ssh_key")).into()),
        None => Err(Error::field("identity", format!("there is no identity {name}")).into()),
    }
}

fn put_values(c: &Connection, id: IdentityId, values: &SealedValues) -> Result<(), Fault> {
    c.prepare_cached("DELETE FROM secrets WHERE identity = ?1")?
        .execute([id.0])?;
    let passphrase = values.passphrase.as_ref().map(|it| ("passphrase", it));
    for (field, sealed) in std::iter::once(("value", &values.value)).chain(passphrase) {
        c.prepare_cached(
            "INSERT INTO secrets (identity, field, key, sealed) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id.0, field, sealed.key, sealed.bytes])?;
    }
    let bytes: i64 = c
        .prepare_cached("SELECT coalesce(sum(length(sealed)), 0) FROM secrets")?
        .query_row([], |row| row.get(0))?;
    if bytes > BYTES {
        return Err(Error::conflict(format!(
            "All secrets together would have more than {BYTES} bytes. Remove those that are of no use any more."
        ))
        .into());
    }
    Ok(())
}

fn values(c: &Connection, id: IdentityId) -> rusqlite::Result<Option<SealedValues>> {
    let field = |name: &str| {
        c.prepare_cached("SELECT key, sealed FROM secrets WHERE identity = ?1 AND field = ?2")?
            .query_row(params![id.0, name], |row| {
                Ok(Sealed {
                    key: row.get(0)?,
                    bytes: row.get(1)?,
                })
            })
            .optional()
    };
    let Some(value) = field("value")? else {
        return Ok(None);
    };
    Ok(Some(SealedValues {
        value,
        passphrase: field("passphrase")?,
    }))
}

/// Who refers to it by name; what waits or runs refers to it too.
fn user_of(c: &Connection, it: &Identity) -> rusqlite::Result<Option<String>> {
    let found: Option<i64> = c
        .prepare_cached("SELECT min(id) FROM instances WHERE identity = ?1")?
        .query_row([&it.name], |row| row.get(0))?;
    Ok(found.map(|id| format!("instance {id}")))
}

impl Store {
    /// Every identity, by name.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn identities(&self) -> Result<Vec<Identity>> {
        self.read(|c| {
            c.prepare_cached(&format!("SELECT {COLUMNS} FROM identities ORDER BY name"))?
                .query_map([], identity)?
                .collect()
        })
        .await
    }

    /// One identity.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn identity(&self, id: IdentityId) -> Result<Option<Identity>> {
        self.read(move |c| get(c, id)).await
    }

    /// One identity, by its name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn identity_named(&self, name: &str) -> Result<Option<Identity>> {
        let name = name.to_owned();
        self.read(move |c| named(c, &name)).await
    }

    /// One identity with its encrypted values, by its name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sealed_identity(&self, name: &str) -> Result<Option<(Identity, SealedValues)>> {
        let name = name.to_owned();
        self.read(move |c| {
            let Some(found) = named(c, &name)? else {
                return Ok(None);
            };
            let values = values(c, found.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(Some((found, values)))
        })
        .await
    }

    /// Makes an identity; `seal` encrypts its values for the id that it gets.
    ///
    /// # Errors
    /// `Conflict` where the name is taken or there are too many; those of `seal`.
    pub async fn add_identity(
        &self,
        new: IdentityRow,
        seal: impl FnOnce(IdentityId) -> Result<SealedValues> + Send + 'static,
        by: By,
    ) -> Result<Identity> {
        self.act(by, move |c, by| {
            let (count, taken): (i64, bool) = c
                .prepare_cached("SELECT count(*), coalesce(max(name = ?1), 0) FROM identities")?
                .query_row([&new.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if taken {
                let taken = format!("There is an identity {} already.", new.name);
                return Err(Error::conflict(taken).into());
            }
            if count >= MOST {
                return Err(Error::conflict(format!(
                    "There are {count} identities already. Remove those that are of no use any more."
                ))
                .into());
            }
            let (public_key, fingerprint) = new.public.unzip();
            c.prepare_cached(
                "INSERT INTO identities (name, kind, scope, host_keys, public_key, fingerprint,
                 created, created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                new.name,
                new.kind.as_str(),
                new.scope.to_string(),
                json!(new.host_keys).to_string(),
                public_key,
                fingerprint,
                by.at,
                by.name
            ])?;
            let id = IdentityId(c.last_insert_rowid());
            put_values(c, id, &seal(id)?)?;
            let made = get(c, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            let act = Act {
                action: "identity.create",
                object: object(id),
                detail: told(&made),
            };
            audit::append(c, by, act)?;
            Ok(made)
        })
        .await
    }

    /// Puts an identity in the place of the one with this id, which keeps its name and kind, with
    /// other values where there are some. None where there is no such one.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub async fn change_identity(
        &self,
        id: IdentityId,
        (new, values): (IdentityRow, Option<SealedValues>),
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<Option<Identity>> {
        self.act(by, move |c, by| {
            let Some(old) = get(c, id)? else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            let (public_key, fingerprint) = new.public.unzip();
            c.prepare_cached(
                "UPDATE identities SET scope = ?2, host_keys = ?3, public_key = ?4, fingerprint = ?5,
                 version = version + 1 WHERE id = ?1",
            )?
            .execute(params![
                id.0,
                new.scope.to_string(),
                json!(new.host_keys).to_string(),
                public_key,
                fingerprint
            ])?;
            if let Some(values) = &values {
                put_values(c, id, values)?;
            }
            let new = get(c, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            let detail =
                json!({"old": told(&old), "new": told(&new), "secret": values.is_some()});
            let act = Act {
                action: "identity.change",
                object: object(id),
                detail,
            };
            audit::append(c, by, act)?;
            Ok(Some(new))
        })
        .await
    }

    /// Removes an identity with its secret. False where there is no such one.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` where an instance uses it.
    pub async fn remove_identity(
        &self,
        id: IdentityId,
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<bool> {
        self.act(by, move |c, by| {
            let Some(old) = get(c, id)? else {
                return Ok(false);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            if let Some(user) = user_of(c, &old)? {
                return Err(Error::conflict(format!(
                    "The identity {} is used by {user}. Give that another one first.",
                    old.name
                ))
                .into());
            }
            let act = Act {
                action: "identity.remove",
                object: object(id),
                detail: told(&old),
            };
            audit::append(c, by, act)?;
            c.prepare_cached("DELETE FROM identities WHERE id = ?1")?
                .execute([id.0])?;
            Ok(true)
        })
        .await
    }

    /// Notes that an identity is about to be used.
    ///
    /// # Errors
    /// `Unavailable`: what is not on record is not done.
    pub async fn note_identity_use(
        &self,
        identity: &Identity,
        detail: serde_json::Value,
        by: By,
    ) -> Result<()> {
        let object = object(identity.id);
        self.act(by, move |c, by| {
            let act = Act {
                action: "identity.use",
                object,
                detail,
            };
            audit::append(c, by, act)
        })
        .await
    }
}
