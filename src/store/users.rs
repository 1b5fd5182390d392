use super::Store;
use super::audit::{self, Act};
use super::fault::Fault;
use super::rows::{scope, unknown_word};
use crate::domain::{By, Error, IfMatch, Result, Role, Scope, Secret, User, UserChange, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

const COLUMNS: &str =
    "id, name, role, password_hash, scope, disabled, subject, created, access, version,
     EXISTS (SELECT 1 FROM second_factors f WHERE f.user = users.id AND f.confirmed),
     origin = 'openid'";

/// What is needed to add a user.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The login name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// On what.
    pub scope: Scope,
    /// The hash of its password; none where it logs in by other means.
    pub password_hash: Option<Secret>,
    /// Its subject at the OpenID provider.
    pub subject: Option<String>,
    /// Whether a first login at that provider makes it.
    pub from_provider: bool,
}

/// What becomes of a user.
#[derive(Debug, Clone, Default)]
pub struct UserUpdate {
    /// Of its rights.
    pub change: UserChange,
    /// The hash of its new password.
    pub password_hash: Option<Secret>,
}

/// Which user.
#[derive(Debug, Clone)]
pub enum UserKey {
    /// That with this id.
    Id(UserId),
    /// That with this login name.
    Name(String),
    /// That with this subject at the OpenID provider.
    Subject(String),
}

fn user(row: &Row) -> rusqlite::Result<User> {
    let role: String = row.get(2)?;
    Ok(User {
        id: UserId(row.get(0)?),
        name: row.get(1)?,
        role: Role::parse(&role).ok_or_else(|| unknown_word(2, role))?,
        password_hash: row.get::<_, Option<String>>(3)?.map(Secret::new),
        scope: scope(row, 4)?,
        disabled: row.get(5)?,
        subject: row.get(6)?,
        created: row.get(7)?,
        access: row.get(8)?,
        version: row.get(9)?,
        second_factor: row.get(10)?,
        from_provider: row.get(11)?,
    })
}

pub(super) fn object(id: UserId) -> String {
    format!("user/{id}")
}

/// One user, inside whatever transaction the connection is in.
pub(super) fn get(c: &Connection, key: &UserKey) -> rusqlite::Result<Option<User>> {
    let select = |column: &str| {
        c.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE {column} = ?1"))
    };
    match key {
        UserKey::Id(id) => select("id")?.query_row([id.0], user).optional(),
        UserKey::Name(name) => select("name")?.query_row([name], user).optional(),
        UserKey::Subject(it) => select("subject")?.query_row([it], user).optional(),
    }
}

/// What a user's rights are has changed: all that it is logged in with is of no use from now on.
pub(super) fn end_access(c: &Connection, id: UserId) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE users SET access = access + 1, version = version + 1 WHERE id = ?1")?
        .execute([id.0])?;
    c.prepare_cached("DELETE FROM sessions WHERE user = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// False where all of it is so already.
fn change_rights(c: &Connection, by: &By, old: &User, change: UserChange) -> Result<bool, Fault> {
    let role = change.role.unwrap_or(old.role);
    let scope = change.scope.unwrap_or_else(|| old.scope.clone());
    let disabled = change.disabled.unwrap_or(old.disabled);
    let subject = change.subject.unwrap_or_else(|| old.subject.clone());
    let same = role == old.role && scope == old.scope;
    if same && disabled == old.disabled && subject == old.subject {
        return Ok(false);
    }
    require_free_subject(c, Some(old.id), subject.as_deref())?;
    let state = |role: Role, scope: &Scope, disabled: bool, subject: &Option<String>| {
        json!({
            "role": role.as_str(), "scope": scope.rules(), "disabled": disabled,
            "subject": subject,
        })
    };
    let detail = json!({
        "name": old.name,
        "old": state(old.role, &old.scope, old.disabled, &old.subject),
        "new": state(role, &scope, disabled, &subject),
    });
    let act = Act {
        action: "user.change",
        object: object(old.id),
        detail,
    };
    audit::append(c, by, act)?;
    c.prepare_cached(
        "UPDATE users SET role = ?2, scope = ?3, disabled = ?4, subject = ?5 WHERE id = ?1",
    )?
    .execute(params![
        old.id.0,
        role.as_str(),
        scope.to_string(),
        disabled,
        subject
    ])?;
    Ok(true)
}

/// Somebody has to be left who can let others in.
fn require_admin(c: &Connection) -> Result<(), Fault> {
    let left: bool = c
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND NOT disabled AND scope = '')")?
        .query_row([], |row| row.get(0))?;
    match left {
        true => Ok(()),
        false => Err(Error::conflict(
            "This is the last admin that can log in and is not narrowed by a scope. Add another one first.",
        )
        .into()),
    }
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

    /// One user.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn user(&self, key: UserKey) -> Result<Option<User>> {
        self.read(move |c| get(c, &key)).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` where the name or the subject is taken.
    pub async fn add_user(&self, new: NewUser, by: By) -> Result<User> {
        self.act(by, move |c, by| {
            if get(c, &UserKey::Name(new.name.clone()))?.is_some() {
                let taken = format!("There is a user {} already.", new.name);
                return Err(Error::conflict(taken).into());
            }
            require_free_subject(c, None, new.subject.as_deref())?;
            c.prepare_cached(
                "INSERT INTO users (name, role, scope, password_hash, subject, created, origin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                new.name,
                new.role.as_str(),
                new.scope.to_string(),
                new.password_hash.as_ref().map(Secret::expose),
                new.subject,
                by.at,
                if new.from_provider { "openid" } else { "local" },
            ])?;
            let id = UserId(c.last_insert_rowid());
            let detail = json!({
                "name": new.name, "role": new.role.as_str(), "scope": new.scope.rules(),
                "subject": new.subject,
            });
            let act = Act {
                action: "user.create",
                object: object(id),
                detail,
            };
            audit::append(c, by, act)?;
            Ok(get(c, &UserKey::Id(id))?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
        })
        .await
    }

    /// Changes a user; what it is logged in with is of no use from then on. None where there is no
    /// such one.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` where no admin would be left, or the subject is taken.
    pub async fn change_user(
        &self,
        id: UserId,
        update: UserUpdate,
        if_match: Option<IfMatch>,
        by: By,
    ) -> Result<Option<User>> {
        let changed = self.act(by, move |c, by| {
            let Some(old) = get(c, &UserKey::Id(id))? else {
                return Ok(None);
            };
            IfMatch::check(if_match.as_ref(), old.version)?;
            let rights = change_rights(c, by, &old, update.change)?;
            if let Some(hash) = &update.password_hash {
                let detail = json!({"name": old.name});
                let act = Act {
                    action: "user.password",
                    object: object(id),
                    detail,
                };
                audit::append(c, by, act)?;
                c.prepare_cached("UPDATE users SET password_hash = ?2 WHERE id = ?1")?
                    .execute(params![id.0, hash.expose()])?;
            }
            if !rights && update.password_hash.is_none() {
                return Ok(Some(old));
            }
            end_access(c, id)?;
            if rights {
                require_admin(c)?;
            }
            Ok(get(c, &UserKey::Id(id))?)
        });
        let changed = changed.await?;
        self.access_changed();
        Ok(changed)
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

    /// Removes a user with its sessions and tokens. False where there is no such user.
    ///
    /// # Errors
    /// `PreconditionFailed`; `Conflict` where no admin would be left.
    pub async fn remove_user(&self, id: UserId, if_match: Option<IfMatch>, by: By) -> Result<bool> {
        let removed = self.act(by, move |c, by| {
            let Some(user) = get(c, &UserKey::Id(id))? else {
                return Ok(false);
            };
            IfMatch::check(if_match.as_ref(), user.version)?;
            let detail = json!({"name": user.name});
            audit::append(
                c,
                by,
                Act {
                    action: "user.remove",
                    object: object(id),
                    detail,
                },
            )?;
            c.prepare_cached("DELETE FROM users WHERE id = ?1")?
                .execute([id.0])?;
            require_admin(c)?;
            Ok(true)
        });
        let removed = removed.await?;
        self.access_changed();
        Ok(removed)
    }

    /// Notes who was let in, or not, where nothing else is written.
    ///
    /// # Errors
    /// `Unavailable`: whoever asks is to be let in only once it is on record.
    pub async fn note_login(&self, user: &User, method: &'static str, by: By) -> Result<()> {
        let (object, detail) = (
            object(user.id),
            json!({"name": user.name, "method": method}),
        );
        self.act(by, move |c, by| {
            audit::append(
                c,
                by,
                Act {
                    action: "login",
                    object,
                    detail,
                },
            )
        })
        .await
    }
}

fn require_free_subject(
    c: &Connection,
    of: Option<UserId>,
    subject: Option<&str>,
) -> Result<(), Fault> {
    let Some(subject) = subject else {
        return Ok(());
    };
    match get(c, &UserKey::Subject(subject.to_owned()))? {
        Some(taken) if Some(taken.id) != of => Err(Error::conflict(format!(
            "subject: it is that of the user {} already.",
            taken.name
        ))
        .into()),
        Some(_) | None => Ok(()),
    }
}
