use super::Store;
use super::audit::{self, Act};
use super::rows::{scope, unknown_word};
use super::users::{self, UserKey};
use crate::domain::{By, Error, NewToken, Result, Role, Token, TokenHash, TokenId, User, UserId};
use rusqlite::{OptionalExtension, Row, params};
use serde_json::json;
use std::net::IpAddr;

/// The most tokens of one user.
const MOST: i64 = 256;

const COLUMNS: &str =
    "t.id, t.user, u.name, t.name, t.role, t.scope, t.created, t.expires, t.used, t.used_from";

fn token(row: &Row) -> rusqlite::Result<Token> {
    let role: String = row.get(4)?;
    Ok(Token {
        id: TokenId(row.get(0)?),
        user: UserId(row.get(1)?),
        user_name: row.get(2)?,
        name: row.get(3)?,
        role: Role::parse(&role).ok_or_else(|| unknown_word(4, role))?,
        scope: scope(row, 5)?,
        created: row.get(6)?,
        expires: row.get(7)?,
        used: row.get(8)?,
        used_from: row.get(9)?,
    })
}

fn object(id: TokenId) -> String {
    format!("token/{id}")
}

impl Store {
    /// Keeps a new token of a user, by the hash of its text.
    ///
    /// # Errors
    /// `Conflict` where the user has one of that name, or too many. `Unavailable`, as for
    /// everything here, where the store does not answer.
    pub async fn add_token(
        &self,
        user: UserId,
        new: NewToken,
        hash: TokenHash,
        by: By,
    ) -> Result<Token> {
        self.act(by, move |c, by| {
            let (count, taken): (i64, bool) = c
                .prepare_cached(
                    "SELECT count(*), coalesce(max(name = ?2), 0) FROM tokens WHERE user = ?1",
                )?
                .query_row(params![user.0, new.name], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            if taken {
                let taken = format!("There is a token {} already.", new.name);
                return Err(Error::conflict(taken).into());
            }
            if count >= MOST {
                return Err(Error::conflict(format!(
                    "There are {count} tokens already. Revoke those that are of no use any more."
                ))
                .into());
            }
            c.prepare_cached(
                "INSERT INTO tokens (token_hash, user, name, role, scope, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                hash,
                user.0,
                new.name,
                new.role.as_str(),
                new.scope.to_string(),
                by.at,
                new.expires
            ])?;
            let id = TokenId(c.last_insert_rowid());
            let detail = json!({
                "user": user.0, "name": new.name, "role": new.role.as_str(),
                "scope": new.scope.rules(), "expires": new.expires,
            });
            audit::append(
                c,
                by,
                Act {
                    action: "token.create",
                    object: object(id),
                    detail,
                },
            )?;
            let sql = format!(
                "SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user WHERE t.id = ?1"
            );
            Ok(c.prepare_cached(&sql)?.query_row([id.0], token)?)
        })
        .await
    }

    /// A token that has not expired, with its owner, who is not disabled.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn token(&self, hash: TokenHash, now: i64) -> Result<Option<(Token, User)>> {
        self.read(move |c| {
            let found = c
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user
                     WHERE t.token_hash = ?1 AND t.expires > ?2 AND NOT u.disabled"
                ))?
                .query_row(params![hash, now], token)
                .optional()?;
            let Some(token) = found else { return Ok(None) };
            Ok(users::get(c, &UserKey::Id(token.user))?.map(|user| (token, user)))
        })
        .await
    }

    /// A token by its id, expired or not: of this user, or of anybody.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn token_by_id(&self, id: TokenId, of: Option<UserId>) -> Result<Option<Token>> {
        self.read(move |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user
                 WHERE t.id = ?1 AND (?2 IS NULL OR t.user = ?2)"
            ))?
            .query_row(params![id.0, of.map(|it| it.0)], token)
            .optional()
        })
        .await
    }

    /// The tokens of a user, or of all, newest first; expired ones too.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tokens(&self, of: Option<UserId>) -> Result<Vec<Token>> {
        self.read(move |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user
                 WHERE ?1 IS NULL OR t.user = ?1 ORDER BY t.id DESC"
            ))?
            .query_map([of.map(|it| it.0)], token)?
            .collect()
        })
        .await
    }

    /// Notes when and from where a token was used.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn touch_token(&self, id: TokenId, from: IpAddr, now: i64) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached("UPDATE tokens SET used = ?2, used_from = ?3 WHERE id = ?1")?
                .execute(params![id.0, now, from.to_string()])?;
            Ok(())
        })
        .await
    }

    /// Revokes a token: of this user, or of anybody. False where there is no such one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn revoke_token(&self, id: TokenId, of: Option<UserId>, by: By) -> Result<bool> {
        let revoked = self.act(by, move |c, by| {
            let found: Option<(i64, String)> = c
                .prepare_cached(
                    "DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2) RETURNING user, name",
                )?
                .query_row(params![id.0, of.map(|it| it.0)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((user, name)) = found else { return Ok(false) };
            let detail = json!({"user": user, "name": name});
            audit::append(c, by, Act { action: "token.revoke", object: object(id), detail })?;
            Ok(true)
        });
        let revoked = revoked.await?;
        self.access_changed();
        Ok(revoked)
    }
}
