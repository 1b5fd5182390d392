use super::{Actor, Service, certificates};
use crate::auth::{Busy, Verdict, hash_token};
use crate::domain::{
    By, Error, Kind, LoginMethod, Result, Scopes, Secret, User, Via, random_token,
};
use crate::store::{Lifetime, NewSession, UserKey};
use std::net::IpAddr;
use std::time::Instant;

/// How long a page's session lives: 8 hours without a request, 7 days in all.
pub(super) const SESSION: Lifetime = Lifetime {
    idle: 8 * 60 * 60,
    absolute: 7 * 24 * 60 * 60,
};
/// A session or a token is marked as used at most so often, in seconds: reading is not a write.
const SEEN_EVERY: i64 = 60;

impl Service {
    /// Checks a name and a password that come with each request. What was right before costs no
    /// argon2 again, until the password changes.
    ///
    /// # Errors
    /// `Unauthenticated` where they are wrong, at the same cost and in the same words for unknown
    /// users; `TooMany` where this network guesses, or more checks wait than can be queued.
    pub async fn authenticate(&self, name: &str, password: &Secret, from: IpAddr) -> Result<Actor> {
        let (user, checked) = self.check_password(name, password, from).await?;
        let actor = Actor::logged_in(&user, Via::Password, from);
        if checked {
            let by = actor.by(self.now());
            self.inner.store.note_login(&user, "basic", by).await?;
        }
        Ok(actor)
    }

    /// Whose name and password these are, and whether that had to be checked.
    pub(super) async fn check_password(
        &self,
        name: &str,
        password: &Secret,
        from: IpAddr,
    ) -> Result<(User, bool)> {
        let it = &self.inner;
        // Read each time: a changed password and a removed user count from the next request on.
        let user = it.store.user(UserKey::Name(name.to_owned())).await?;
        let user = user.filter(|user| !user.disabled && user.password_hash.is_some());
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        if let (Some(user), Some(hash)) = (&user, &hash)
            && it.verified.contains(name, password, hash)
        {
            return Ok((user.clone(), false));
        }
        if let Some(wait) = it.throttle.wait(from, name, Instant::now()) {
            let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
            return Err(Error::new(
                Kind::TooMany,
                "Too many wrong passwords. Wait, then try again.",
            )
            .retry_after_seconds(seconds));
        }
        let none = Secret::new("");
        let login = it
            .verified
            .tag(name, password, hash.as_ref().unwrap_or(&none));
        let check = it.passwords.verify(password, hash.as_ref());
        let verdict = it.checks.join(login, check).await.map_err(busy)?;
        match (verdict, user, hash) {
            (Verdict::Right { upgrade }, Some(user), Some(hash)) => {
                it.throttle.succeeded(from, name);
                let hash = match upgrade {
                    Some(stronger) => {
                        it.store
                            .upgrade_password_hash(user.id, hash, stronger.clone())
                            .await?;
                        stronger
                    }
                    None => hash,
                };
                it.verified.insert(name, password, &hash);
                Ok((user, true))
            }
            (Verdict::Right { .. } | Verdict::Wrong, _, _) => {
                it.throttle.failed(from, name, Instant::now());
                Err(wrong())
            }
        }
    }

    /// Logs in for the pages: gives the cookie's value, 43 characters of URL-safe base64.
    ///
    /// # Errors
    /// As [`Service::authenticate`].
    pub async fn open_session(
        &self,
        name: &str,
        password: &Secret,
        (from, agent): (IpAddr, String),
    ) -> Result<Secret> {
        let (user, _) = self.check_password(name, password, from).await?;
        self.begin_session(&user, LoginMethod::Password, (from, agent))
            .await
    }

    /// A session of a user whose login has succeeded.
    pub(super) async fn begin_session(
        &self,
        user: &User,
        method: LoginMethod,
        (from, agent): (IpAddr, String),
    ) -> Result<Secret> {
        let token = random_token();
        let new = NewSession {
            token: hash_token(&token),
            user: user.id,
            access: user.access,
            method,
            agent,
        };
        let by = By {
            name: user.name.clone(),
            from: Some(from),
            ..By::server(self.now())
        };
        match self.inner.store.open_session(new, SESSION, by).await? {
            Some(_) => Ok(token),
            // Removed or changed between the check and now.
            None => Err(wrong()),
        }
    }

    /// Whose session it is; nobody's where it is unknown, expired or logged out.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn session(&self, token: &Secret, from: IpAddr) -> Result<Option<Actor>> {
        let (hash, now) = (hash_token(token), self.now());
        let Some((session, user)) = self.inner.store.session(hash, SESSION, now).await? else {
            return Ok(None);
        };
        if now - session.seen >= SEEN_EVERY
            && let Err(error) = self.inner.store.touch_session(session.id, now).await
        {
            // Reading goes on where the disk is full; the session only ages.
            tracing::warn!(%error, "cannot mark a session as seen");
        }
        let actor = Actor::logged_in(&user, Via::Session(session.id), from);
        Ok(Some(actor.confirmed_at(session.confirmed)))
    }

    /// Logs out: the session is gone for every request from now on.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn close_session(&self, actor: &Actor) -> Result<()> {
        if let Some(id) = actor.session() {
            let by = actor.by(self.now());
            self.inner.store.end_session(id, actor.user(), by).await?;
        }
        Ok(())
    }

    /// Whose API token it is.
    ///
    /// # Errors
    /// `Unauthenticated` where it is unknown, expired or revoked, or its owner is disabled.
    pub async fn token_login(&self, token: &Secret, from: IpAddr) -> Result<Actor> {
        let (hash, now) = (hash_token(token), self.now());
        let Some((token, user)) = self.inner.store.token(hash, now).await? else {
            return Err(Error::new(
                Kind::Unauthenticated,
                "The token is unknown, expired or revoked.",
            ));
        };
        let stale = token.used.is_none_or(|used| now - used >= SEEN_EVERY)
            || token.used_from.as_deref() != Some(&from.to_string());
        if stale && let Err(error) = self.inner.store.touch_token(token.id, from, now).await {
            tracing::warn!(%error, "cannot mark a token as used");
        }
        let actor = Actor::logged_in(&user, Via::Token(token.id), from);
        let scopes = Scopes::new([user.scope, token.scope]);
        Ok(actor.narrowed(token.role, scopes))
    }

    /// Whether what the actor was let in with still holds: for what goes on for long.
    ///
    /// # Errors
    /// `Unauthenticated` where it does not; `Unavailable`.
    pub async fn still_holds(&self, actor: &Actor) -> Result<()> {
        if !actor.certificate_counts(self.now()) {
            return Err(certificates::ended());
        }
        match actor.grant() {
            Some(grant) => self.inner.store.check_grant(grant, self.now()).await,
            None => Ok(()),
        }
    }
}

pub(super) fn wrong() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "The user name or the password is wrong.",
    )
}

pub(super) fn busy(_: Busy) -> Error {
    Error::new(
        Kind::TooMany,
        "Too many logins at once. Try again in a moment.",
    )
    .retry_after_seconds(1)
}
