use super::{Actor, Service};
use crate::auth::{Busy, Verdict, hash_token};
use crate::domain::{Error, Kind, Result, Secret, random_token};
use crate::store::Lifetime;
use std::net::IpAddr;
use std::time::Instant;

/// How long a page's session lives: 8 hours without a request, 7 days in all.
const SESSION: Lifetime = Lifetime {
    idle: 8 * 60 * 60,
    absolute: 7 * 24 * 60 * 60,
};
/// A session is marked as seen at most so often, in seconds: reading a page is not a write.
const SEEN_EVERY: i64 = 60;

impl Service {
    /// Checks a name and a password. What was right before costs no argon2 again, until the
    /// password changes.
    ///
    /// # Errors
    /// `Unauthenticated` where they are wrong, at the same cost and in the same words for unknown
    /// users; `TooMany` where this network guesses, or more checks wait than can be queued.
    pub async fn authenticate(&self, name: &str, password: &Secret, from: IpAddr) -> Result<Actor> {
        let it = &self.inner;
        // Read each time: a changed password and a removed user count from the next request on.
        let user = it.store.user_by_name(name).await?;
        if let Some(user) = &user
            && it.verified.contains(name, password, &user.password_hash)
        {
            return Ok(Actor::logged_in(user.id, user.name.clone(), user.role));
        }
        if let Some(wait) = it.throttle.wait(from, name, Instant::now()) {
            let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
            return Err(Error::new(
                Kind::TooMany,
                "Too many wrong passwords. Wait, then try again.",
            )
            .retry_after_seconds(seconds));
        }
        let hash = user.as_ref().map(|user| &user.password_hash);
        let login = it
            .verified
            .tag(name, password, hash.unwrap_or(&Secret::new("")));
        let check = it.passwords.verify(password, hash);
        let verdict = it.checks.join(login, check).await.map_err(busy)?;
        match (verdict, user) {
            (Verdict::Right { upgrade }, Some(user)) => {
                it.throttle.succeeded(from, name);
                let hash = match upgrade {
                    Some(stronger) => {
                        it.store
                            .upgrade_password_hash(user.id, user.password_hash, stronger.clone())
                            .await?;
                        stronger
                    }
                    None => user.password_hash,
                };
                it.verified.insert(name, password, &hash);
                Ok(Actor::logged_in(user.id, user.name, user.role))
            }
            (Verdict::Right { .. } | Verdict::Wrong, _) => {
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
        from: IpAddr,
    ) -> Result<(Actor, Secret)> {
        let actor = self.authenticate(name, password, from).await?;
        let token = random_token();
        if let Some(user) = actor.user() {
            let store = &self.inner.store;
            let opened = store.add_session(hash_token(&token), user, SESSION, self.now());
            if !opened.await? {
                // Removed between the check and now.
                return Err(wrong());
            }
        }
        Ok((actor, token))
    }

    /// Whose session it is; nobody's where it is unknown, expired or logged out.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn session(&self, token: &Secret) -> Result<Option<Actor>> {
        let (hash, now) = (hash_token(token), self.now());
        let Some((user, name, role, seen)) = self.inner.store.session(hash, SESSION, now).await?
        else {
            return Ok(None);
        };
        if now - seen >= SEEN_EVERY
            && let Err(error) = self.inner.store.touch_session(hash, now).await
        {
            // Reading goes on where the disk is full; the session only ages.
            tracing::warn!(%error, "cannot mark a session as seen");
        }
        Ok(Some(Actor::logged_in(user, name, role)))
    }

    /// Logs out: the session is gone for every request from now on.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn close_session(&self, token: &Secret) -> Result<()> {
        self.inner.store.remove_session(hash_token(token)).await
    }
}

fn wrong() -> Error {
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
