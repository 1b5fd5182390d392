use super::Store;
use crate::domain::{Result, Role, UserId};
use rusqlite::{OptionalExtension, params};

/// The hash of a session's token: the token itself is never stored.
pub type TokenHash = [u8; 32];

/// How long a session lives, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Without a request.
    pub idle: i64,
    /// In all.
    pub absolute: i64,
}

impl Store {
    /// Keeps a new session, and forgets those that have ended. False where the user is gone.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn add_session(
        &self,
        token: TokenHash,
        user: UserId,
        life: Lifetime,
        now: i64,
    ) -> Result<bool> {
        self.write(move |c| {
            c.prepare_cached("DELETE FROM sessions WHERE seen <= ?1 OR created <= ?2")?
                .execute(params![now - life.idle, now - life.absolute])?;
            let opened = c
                .prepare_cached(
                    "INSERT INTO sessions (token_hash, user, created, seen)
                     SELECT ?1, id, ?3, ?3 FROM users WHERE id = ?2",
                )?
                .execute(params![token, user.0, now])?;
            Ok(opened > 0)
        })
        .await
    }

    /// Whose session it is, where it lives, and when it was last marked as seen.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session(
        &self,
        token: TokenHash,
        life: Lifetime,
        now: i64,
    ) -> Result<Option<(UserId, String, Role, i64)>> {
        self.read(move |c| {
            c.prepare_cached(
                "SELECT u.id, u.name, u.role, s.seen FROM sessions s JOIN users u ON u.id = s.user
                 WHERE s.token_hash = ?1 AND s.seen > ?2 AND s.created > ?3",
            )?
            .query_row(
                params![token, now - life.idle, now - life.absolute],
                |row| {
                    let role: String = row.get(2)?;
                    let role =
                        Role::parse(&role).ok_or_else(|| super::rows::unknown_word(2, role))?;
                    Ok((UserId(row.get(0)?), row.get(1)?, role, row.get(3)?))
                },
            )
            .optional()
        })
        .await
    }

    /// Marks a session as seen; one that was ended meanwhile stays ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn touch_session(&self, token: TokenHash, now: i64) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached("UPDATE sessions SET seen = ?2 WHERE token_hash = ?1")?
                .execute(params![token, now])?;
            Ok(())
        })
        .await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remove_session(&self, token: TokenHash) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached("DELETE FROM sessions WHERE token_hash = ?1")?
                .execute([token])?;
            Ok(())
        })
        .await
    }
}
