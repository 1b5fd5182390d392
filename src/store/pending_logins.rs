use super::Store;
use super::rows::unknown_word;
use super::users::{self, UserKey};
use crate::domain::{LoginMethod, Result, TokenHash, User, UserId};
use rusqlite::{Connection, OptionalExtension, params};

/// Seconds that somebody has whose password was right, to show a code.
const LIFE: i64 = 5 * 60;
/// How many codes they may try.
const TRIES: i64 = 5;
/// The most logins of one user that wait for a code: the oldest one goes for a new one.
const MOST: i64 = 16;

/// The user, where the login is still one, and the rights are those of when it began.
fn user(c: &Connection, found: Option<(i64, i64)>) -> rusqlite::Result<Option<User>> {
    let Some((id, access)) = found else {
        return Ok(None);
    };
    let user = users::get(c, &UserKey::Id(UserId(id)))?;
    Ok(user.filter(|user| user.access == access && !user.disabled))
}

impl Store {
    /// Notes that the first proof of a login was good, and what the whole will have been, under the
    /// hash of what the browser is given. Nobody is logged in by that.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn open_pending_login(
        &self,
        token: TokenHash,
        (of, method): (&User, LoginMethod),
        now: i64,
    ) -> Result<()> {
        let (id, access) = (of.id.0, of.access);
        self.write(move |c| {
            c.prepare_cached("DELETE FROM pending_logins WHERE created <= ?1")?
                .execute([now - LIFE])?;
            c.prepare_cached(
                "DELETE FROM pending_logins WHERE token_hash IN (
                     SELECT token_hash FROM pending_logins WHERE user = ?1
                     ORDER BY created DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![id, MOST - 1])?;
            c.prepare_cached(
                "INSERT INTO pending_logins (token_hash, user, access, created, method)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![token, id, access, now, method.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Whose login waits for a code.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn pending_login(&self, token: TokenHash, now: i64) -> Result<Option<User>> {
        self.read(move |c| {
            let found = c
                .prepare_cached(
                    "SELECT user, access FROM pending_logins
                     WHERE token_hash = ?1 AND created > ?2 AND tries < ?3",
                )?
                .query_row(params![token, now - LIFE, TRIES], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            user(c, found)
        })
        .await
    }

    /// The same with what the login will have been, and one try less is left.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn try_pending_login(
        &self,
        token: TokenHash,
        now: i64,
    ) -> Result<Option<(User, LoginMethod)>> {
        self.write(move |c| {
            let found = c
                .prepare_cached(
                    "UPDATE pending_logins SET tries = tries + 1
                     WHERE token_hash = ?1 AND created > ?2 AND tries < ?3
                     RETURNING user, access, method",
                )?
                .query_row(params![token, now - LIFE, TRIES], |row| {
                    let word: String = row.get(2)?;
                    let method = LoginMethod::parse(&word).ok_or_else(|| unknown_word(2, word))?;
                    Ok(((row.get(0)?, row.get(1)?), method))
                })
                .optional()?;
            let Some((found, method)) = found else {
                return Ok(None);
            };
            Ok(user(c, Some(found))?.map(|user| (user, method)))
        })
        .await
    }

    /// It has led to a session, or to nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_pending_login(&self, token: TokenHash) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached("DELETE FROM pending_logins WHERE token_hash = ?1")?
                .execute([token])?;
            Ok(())
        })
        .await
    }
}
