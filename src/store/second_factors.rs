use super::Store;
use super::audit::{self, Act};
use super::users::object;
use crate::domain::{By, Error, Result, Sealed, SecondFactor, SessionId, TokenHash, UserId};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

/// # Errors
/// That of SQLite.
fn append(
    c: &Connection,
    by: &By,
    user: UserId,
    (action, detail): (&'static str, serde_json::Value),
) -> Result<(), super::fault::Fault> {
    let object = object(user);
    audit::append(
        c,
        by,
        Act {
            action,
            object,
            detail,
        },
    )
}

/// Puts new recovery codes in the place of those there are.
fn set_codes(c: &Connection, user: UserId, codes: &[TokenHash]) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM recovery_codes WHERE user = ?1")?
        .execute([user.0])?;
    let mut insert =
        c.prepare_cached("INSERT INTO recovery_codes (user, code_hash) VALUES (?1, ?2)")?;
    for code in codes {
        insert.execute(params![user.0, code])?;
    }
    Ok(())
}

/// Another way to log in begins or ends: the other sessions of the user end, and so does what goes
/// on by a password.
fn end_others(c: &Connection, user: UserId, keep: Option<SessionId>) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE users SET access = access + 1, version = version + 1 WHERE id = ?1")?
        .execute([user.0])?;
    c.prepare_cached("DELETE FROM sessions WHERE user = ?1 AND id IS NOT ?2")?
        .execute(params![user.0, keep.map(|it| it.0)])?;
    Ok(())
}

impl Store {
    /// The authenticator of a user, confirmed or not.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn second_factor(&self, user: UserId) -> Result<Option<SecondFactor>> {
        self.read(move |c| {
            c.prepare_cached(
                "SELECT key, sealed, confirmed, last_step, created,
                        (SELECT count(*) FROM recovery_codes r WHERE r.user = f.user)
                 FROM second_factors f WHERE user = ?1",
            )?
            .query_row([user.0], |row| {
                Ok(SecondFactor {
                    sealed: Sealed {
                        key: row.get(0)?,
                        bytes: row.get(1)?,
                    },
                    confirmed: row.get(2)?,
                    last_step: row.get(3)?,
                    created: row.get(4)?,
                    recovery_codes: row.get(5)?,
                })
            })
            .optional()
        })
        .await
    }

    /// Keeps an authenticator that is to be confirmed, in the place of one that never was.
    ///
    /// # Errors
    /// `Conflict` where there is a confirmed one.
    pub async fn begin_second_factor(&self, user: UserId, sealed: Sealed, by: By) -> Result<()> {
        self.act(by, move |c, by| {
            let kept = c
                .prepare_cached(
                    "INSERT INTO second_factors (user, key, sealed, created) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (user) DO UPDATE SET key = excluded.key, sealed = excluded.sealed,
                         created = excluded.created, last_step = 0
                     WHERE NOT confirmed",
                )?
                .execute(params![user.0, sealed.key, sealed.bytes, by.at])?;
            if kept == 0 {
                return Err(Error::conflict(
                    "There is a second factor already. Switch it off first.",
                )
                .into());
            }
            append(c, by, user, ("second_factor.begin", json!({})))
        })
        .await
    }

    /// Takes the first code of an authenticator: from now on logins ask for one. All sessions but
    /// one end. False where the code was taken before, or there is nothing to confirm.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn confirm_second_factor(
        &self,
        (user, step): (UserId, i64),
        codes: Vec<TokenHash>,
        keep: Option<SessionId>,
        by: By,
    ) -> Result<bool> {
        let changed = self
            .act(by, move |c, by| {
                let confirmed = c
                    .prepare_cached(
                        "UPDATE second_factors SET confirmed = 1, last_step = ?2
                     WHERE user = ?1 AND NOT confirmed AND last_step < ?2",
                    )?
                    .execute(params![user.0, step])?;
                if confirmed == 0 {
                    return Ok(false);
                }
                append(c, by, user, ("second_factor.confirm", json!({})))?;
                set_codes(c, user, &codes)?;
                end_others(c, user, keep)?;
                Ok(true)
            })
            .await?;
        if changed {
            self.access_changed();
        }
        Ok(changed)
    }

    /// Takes the code of a step of time. False where that step or a later one was taken before
    /// (RFC 6238 section 5.2), or there is no confirmed authenticator.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_step(&self, user: UserId, step: i64) -> Result<bool> {
        self.write(move |c| {
            let taken = c
                .prepare_cached(
                    "UPDATE second_factors SET last_step = ?2
                     WHERE user = ?1 AND confirmed AND last_step < ?2",
                )?
                .execute(params![user.0, step])?;
            Ok(taken > 0)
        })
        .await
    }

    /// Takes a recovery code, which is of no use from then on. False where it is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_recovery_code(&self, user: UserId, code: TokenHash, by: By) -> Result<bool> {
        self.act(by, move |c, by| {
            let taken = c
                .prepare_cached(
                    "DELETE FROM recovery_codes WHERE user = ?1 AND code_hash = ?2
                     AND EXISTS (SELECT 1 FROM second_factors f WHERE f.user = ?1 AND f.confirmed)",
                )?
                .execute(params![user.0, code])?;
            if taken == 0 {
                return Ok(false);
            }
            let left: i64 = c
                .prepare_cached("SELECT count(*) FROM recovery_codes WHERE user = ?1")?
                .query_row([user.0], |row| row.get(0))?;
            append(
                c,
                by,
                user,
                ("second_factor.recover", json!({"left": left})),
            )?;
            Ok(true)
        })
        .await
    }

    /// Puts new recovery codes in the place of those there are. False where there is no confirmed
    /// authenticator.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn renew_recovery_codes(
        &self,
        user: UserId,
        codes: Vec<TokenHash>,
        by: By,
    ) -> Result<bool> {
        self.act(by, move |c, by| {
            let is_on: bool = c
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM second_factors WHERE user = ?1 AND confirmed)",
                )?
                .query_row([user.0], |row| row.get(0))?;
            if is_on {
                append(c, by, user, ("second_factor.codes", json!({})))?;
                set_codes(c, user, &codes)?;
            }
            Ok(is_on)
        })
        .await
    }

    /// Takes the authenticator and the recovery codes of a user away. All sessions but one end.
    /// False where there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remove_second_factor(
        &self,
        user: UserId,
        keep: Option<SessionId>,
        by: By,
    ) -> Result<bool> {
        let changed = self
            .act(by, move |c, by| {
                let removed = c
                    .prepare_cached("DELETE FROM second_factors WHERE user = ?1")?
                    .execute([user.0])?;
                if removed == 0 {
                    return Ok(false);
                }
                append(c, by, user, ("second_factor.remove", json!({})))?;
                set_codes(c, user, &[])?;
                end_others(c, user, keep)?;
                Ok(true)
            })
            .await?;
        if changed {
            self.access_changed();
        }
        Ok(changed)
    }
}
