use super::Store;
use crate::domain::{Error, Result, Role, Secret, User, UserId};
use rusqlite::{OptionalExtension, Row, params};

const COLUMNS: &str = "id, name, role, password_hash";

fn user(row: &Row) -> rusqlite::Result<User> {
    let role: String = row.get(2)?;
    Ok(User {
        id: UserId(row.get(0)?),
        name: row.get(1)?,
        role: Role::parse(&role).ok_or_else(|| super::rows::unknown_word(2, role))?,
        password_hash: Secret::new(row.get::<_, String>(3)?),
    })
}

impl Store {
    /// Every user, by name.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn users(&self) -> Result<Vec<User>> {
        self.read(|c| {
            c.prepare_cached(&format!("SELECT {COLUMNS} FROM users ORDER BY name"))?
                .query_map([], user)?
                .collect()
        })
        .await
    }

    /// The user of that name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let name = name.to_owned();
        self.read(move |c| {
            c.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE name = ?1"))?
                .query_row([name], user)
                .optional()
        })
        .await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` where the name is taken.
    pub async fn add_user(&self, name: &str, role: Role, hash: Secret, now: i64) -> Result<User> {
        let name = name.to_owned();
        self.write(move |c| {
            let added = c
                .prepare_cached("INSERT INTO users (name, role, password_hash, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
                .execute(params![name, role.as_str(), hash.expose(), now])?;
            if added == 0 {
                return Err(Error::conflict(format!("There is a user {name} already.")).into());
            }
            Ok(User { id: UserId(c.last_insert_rowid()), name, role, password_hash: hash })
        })
        .await
    }

    /// Sets a password hash and ends the sessions of that user. False where there is no such user.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn set_password_hash(&self, id: UserId, hash: Secret) -> Result<bool> {
        self.write(move |c| {
            let found = c
                .prepare_cached("UPDATE users SET password_hash = ?2 WHERE id = ?1")?
                .execute(params![id.0, hash.expose()])?;
            c.prepare_cached("DELETE FROM sessions WHERE user = ?1")?
                .execute([id.0])?;
            Ok(found > 0)
        })
        .await
    }

    /// Puts a stronger hash of the same password in the place of `old`; does nothing where the
    /// password was changed meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn upgrade_password_hash(&self, id: UserId, old: Secret, new: Secret) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached(
                "UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2",
            )?
            .execute(params![id.0, old.expose(), new.expose()])?;
            Ok(())
        })
        .await
    }

    /// Removes a user and its sessions. False where there is no such user.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remove_user(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |c| {
            Ok(c.prepare_cached("DELETE FROM users WHERE name = ?1")?
                .execute([name])?
                > 0)
        })
        .await
    }
}
