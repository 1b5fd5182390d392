use super::Store;
use super::audit::{self, Act};
use super::rows::unknown_word;
use super::users::{self, UserKey};
use crate::domain::{By, LoginMethod, Result, Session, SessionId, TokenHash, User, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

/// How long a session lives, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Without a request.
    pub idle: i64,
    /// In all.
    pub absolute: i64,
}

/// What is needed to open a session.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The hash of its cookie.
    pub token: TokenHash,
    /// Whose; it is opened only where that user's rights are still those.
    pub user: UserId,
    /// [`User::access`] when the login was checked.
    pub access: i64,
    /// How it begins.
    pub method: LoginMethod,
    /// The browser, as it calls itself.
    pub agent: String,
}

/// The most sessions of one user: the one that was not used for longest goes for a new one.
const MOST: i64 = 32;

const COLUMNS: &str =
    "s.id, s.user, u.name, s.method, s.created, s.seen, s.confirmed, s.address, s.agent";

fn session(row: &Row) -> rusqlite::Result<Session> {
    let method: String = row.get(3)?;
    Ok(Session {
        id: SessionId(row.get(0)?),
        user: UserId(row.get(1)?),
        user_name: row.get(2)?,
        method: LoginMethod::parse(&method).ok_or_else(|| unknown_word(3, method))?,
        created: row.get(4)?,
        seen: row.get(5)?,
        confirmed: row.get(6)?,
        address: row.get(7)?,
        agent: row.get(8)?,
    })
}

fn object(id: SessionId) -> String {
    format!("session/{id}")
}

/// Whether a session has neither ended nor grown too old.
pub(super) fn lives(
    c: &Connection,
    id: SessionId,
    life: Lifetime,
    now: i64,
) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND seen > ?2 AND created > ?3)",
    )?
    .query_row(params![id.0, now - life.idle, now - life.absolute], |row| {
        row.get(0)
    })
}

fn prune(c: &Connection, user: UserId, life: Lifetime, now: i64) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM sessions WHERE seen <= ?1 OR created <= ?2")?
        .execute(params![now - life.idle, now - life.absolute])?;
    c.prepare_cached(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user = ?1
         ORDER BY seen DESC, id DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![user.0, MOST - 1])?;
    Ok(())
}

impl Store {
    /// Keeps a new session with its record in the audit trail, and forgets those that have ended.
    /// None where the user is gone, disabled or has other rights by now.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn open_session(
        &self,
        new: NewSession,
        life: Lifetime,
        by: By,
    ) -> Result<Option<SessionId>> {
        self.act(by, move |c, by| {
            prune(c, new.user, life, by.at)?;
            let opened = c
                .prepare_cached(
                    "INSERT INTO sessions (token_hash, user, method, created, seen, confirmed, address, agent)
                     SELECT ?1, id, ?4, ?5, ?5, ?5, ?6, ?7 FROM users
                     WHERE id = ?2 AND access = ?3 AND NOT disabled",
                )?
                .execute(params![
                    new.token,
                    new.user.0,
                    new.access,
                    new.method.as_str(),
                    by.at,
                    by.from.map(|it| it.to_string()),
                    new.agent
                ])?;
            if opened == 0 {
                return Ok(None);
            }
            let id = SessionId(c.last_insert_rowid());
            let detail = json!({"session": id.0, "method": new.method.as_str()});
            audit::append(c, by, Act { action: "login", object: users::object(new.user), detail })?;
            Ok(Some(id))
        })
        .await
    }

    /// A session that lives, with its user.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session(
        &self,
        token: TokenHash,
        life: Lifetime,
        now: i64,
    ) -> Result<Option<(Session, User)>> {
        self.read(move |c| {
            let found = c
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM sessions s JOIN users u ON u.id = s.user
                     WHERE s.token_hash = ?1 AND s.seen > ?2 AND s.created > ?3 AND NOT u.disabled"
                ))?
                .query_row(
                    params![token, now - life.idle, now - life.absolute],
                    session,
                )
                .optional()?;
            let Some(session) = found else {
                return Ok(None);
            };
            Ok(users::get(c, &UserKey::Id(session.user))?.map(|user| (session, user)))
        })
        .await
    }

    /// The sessions that live, newest first: of one user, or of all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sessions(
        &self,
        of: Option<UserId>,
        life: Lifetime,
        now: i64,
    ) -> Result<Vec<Session>> {
        self.read(move |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sessions s JOIN users u ON u.id = s.user
                 WHERE (?1 IS NULL OR s.user = ?1) AND s.seen > ?2 AND s.created > ?3
                 ORDER BY s.id DESC"
            ))?
            .query_map(
                params![of.map(|it| it.0), now - life.idle, now - life.absolute],
                session,
            )?
            .collect()
        })
        .await
    }

    /// Marks a session as seen; one that was ended meanwhile stays ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn touch_session(&self, id: SessionId, now: i64) -> Result<()> {
        self.write(move |c| {
            c.prepare_cached("UPDATE sessions SET seen = ?2 WHERE id = ?1")?
                .execute(params![id.0, now])?;
            Ok(())
        })
        .await
    }

    /// Notes that who uses a session, which has to be this user's, has just proved again who they
    /// are. False where it has ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn confirm_session(&self, id: SessionId, of: UserId, by: By) -> Result<bool> {
        self.act(by, move |c, by| {
            let found = c
                .prepare_cached("UPDATE sessions SET confirmed = ?3 WHERE id = ?1 AND user = ?2")?
                .execute(params![id.0, of.0, by.at])?;
            if found == 0 {
                return Ok(false);
            }
            let act = Act {
                action: "session.confirm",
                object: object(id),
                detail: json!({}),
            };
            audit::append(c, by, act)?;
            Ok(true)
        })
        .await
    }

    /// Ends a session: of this user, or of anybody. False where there is no such one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_session(&self, id: SessionId, of: Option<UserId>, by: By) -> Result<bool> {
        let ended = self.act(by, move |c, by| {
            let user: Option<i64> = c
                .prepare_cached(
                    "DELETE FROM sessions WHERE id = ?1 AND (?2 IS NULL OR user = ?2) RETURNING user",
                )?
                .query_row(params![id.0, of.map(|it| it.0)], |row| row.get(0))
                .optional()?;
            let Some(user) = user else { return Ok(false) };
            let detail = json!({"user": user});
            audit::append(c, by, Act { action: "session.end", object: object(id), detail })?;
            Ok(true)
        });
        let ended = ended.await?;
        self.access_changed();
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Role, Scope, Secret};
    use crate::store::{Access, NewUser, Trail};

    const LIFE: Lifetime = Lifetime {
        idle: 100,
        absolute: 1000,
    };

    async fn with_session(dir: &std::path::Path) -> (Store, SessionId, UserId) {
        let trail = Trail {
            key: Secret::new("k"),
            anchor: dir.join("anchor"),
        };
        let store = Store::open(
            dir,
            &crate::config::Store::default(),
            trail,
            Access::Command,
        );
        let store = store.expect("a store");
        let new = NewUser {
            name: "ann".into(),
            role: Role::Admin,
            scope: Scope::default(),
            password_hash: None,
            subject: None,
            from_provider: false,
        };
        let user = store.add_user(new, By::server(1)).await.expect("a user");
        let new = NewSession {
            token: [1; 32],
            user: user.id,
            access: user.access,
            method: LoginMethod::Password,
            agent: String::new(),
        };
        let opened = store.open_session(new, LIFE, By::server(1000)).await;
        let id = opened.expect("it is opened").expect("it is opened");
        (store, id, user.id)
    }

    #[tokio::test]
    async fn a_request_in_flight_does_not_bring_back_what_was_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, id, user) = with_session(dir.path()).await;
        assert!(store.end_session(id, None, By::server(1001)).await.unwrap());
        store.touch_session(id, 1002).await.unwrap();
        let by = By::server(1002);
        assert!(!store.confirm_session(id, user, by).await.unwrap());
        assert!(store.session([1; 32], LIFE, 1003).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, id, _) = with_session(dir.path()).await;
        let lives = async |now| store.session([1; 32], LIFE, now).await.unwrap().is_some();
        assert!(lives(1099).await && !lives(1100).await);
        store.touch_session(id, 1950).await.unwrap();
        assert!(lives(1999).await && !lives(2000).await);
    }
}
