use super::{Actor, Service};
use crate::auth::{Busy, Verdict, hash_token, is_api_token};
use crate::domain::{
    By, Error, Kind, LoginMethod, Result, Scopes, Secret, User, Via, random_token,
};
use crate::store::{NewSession, UserKey};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A session or a token is marked as used at most so often, in seconds: reading is not a write.
const SEEN_EVERY: i64 = 60;
/// What stands for the name of who shows an unknown token: no user can have it.
const NO_NAME: &str = "";

impl Service {
    /// Checks a name and a password that come with each request. What was right before costs no
    /// argon2 again, until the password changes.
    ///
    /// # Errors
    /// `Unauthenticated` where they are wrong, at the same cost and in the same words for unknown
    /// users, or where the user has a second factor; `TooMany` where this network guesses, or more
    /// checks wait than can be queued.
    pub async fn authenticate(&self, name: &str, password: &Secret, from: IpAddr) -> Result<Actor> {
        let (user, checked) = self.check_password(name, password, from).await?;
        if user.second_factor || self.needs_second_factor(&user) {
            // The password alone would get round the code.
            return Err(Error::new(
                Kind::Unauthenticated,
                "This user has a second factor, which HTTP basic cannot ask for. Log in with an API \
                 token (Authorization: Bearer), made at /wsexec/tokens or on the page of one's account.",
            ));
        }
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
        let none = Secret::new("");
        let login = it
            .verified
            .tag(name, password, hash.as_ref().unwrap_or(&none));
        // Who sends the same at once shares one check, and that is one try.
        let check = async {
            let admitted = it.throttle.admit(from, name, Instant::now());
            admitted.map_err(NotNow::Guessing)?;
            let verdict = it.passwords.verify(password, hash.as_ref()).await;
            match &verdict {
                Ok(Verdict::Right { .. }) => it.throttle.succeeded(from, name, Instant::now()),
                Err(Busy) => it.throttle.spare(from, name, Instant::now()),
                Ok(Verdict::Wrong) => {}
            }
            verdict.map_err(NotNow::from)
        };
        match (it.checks.join(login, check).await?, user, hash) {
            (Verdict::Right { upgrade }, Some(user), Some(hash)) => {
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
            (Verdict::Right { .. } | Verdict::Wrong, _, _) => Err(wrong()),
        }
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
        match self
            .inner
            .store
            .open_session(new, self.inner.rules.session, by)
            .await?
        {
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
        let life = self.inner.rules.session;
        let Some((session, user)) = self.inner.store.session(hash, life, now).await? else {
            return Ok(None);
        };
        // It began before the role needed more.
        if self.needs_second_factor(&user) && !session.method.has_second_factor() {
            return Ok(None);
        }
        if now - session.seen >= SEEN_EVERY
            && let Err(error) = self.inner.store.touch_session(session.id, now).await
        {
            // Reading goes on where the disk is full; the session only ages.
            tracing::warn!(%error, "cannot mark a session as seen");
        }
        let actor = Actor::logged_in(&user, Via::Session(session.id), from);
        Ok(Some(actor.in_session(token, session.confirmed)))
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
        let found = match is_api_token(token) {
            true => self.inner.store.token(hash, now).await?,
            false => None,
        };
        let Some((token, user)) = found else {
            return Err(self.unknown_token(from));
        };
        if token.used.is_none_or(|used| now - used >= SEEN_EVERY)
            && let Err(error) = self.inner.store.touch_token(token.id, from, now).await
        {
            tracing::warn!(%error, "cannot mark a token as used");
        }
        let actor = Actor::logged_in(&user, Via::Token(token.id), from);
        let scopes = Scopes::new([user.scope, token.scope]);
        Ok(actor.narrowed(token.role, scopes))
    }

    /// Nobody guesses 256 bits. Who goes on with what is no token waits all the same, and good
    /// tokens from there do not.
    fn unknown_token(&self, from: IpAddr) -> Error {
        match self.inner.throttle.admit(from, NO_NAME, Instant::now()) {
            Ok(()) => Error::new(
                Kind::Unauthenticated,
                "The token is unknown, expired or revoked.",
            ),
            Err(wait) => guessing(wait),
        }
    }
}

pub(super) fn wrong() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "The user name or the password is wrong.",
    )
}

/// Why a password is not checked now.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotNow {
    /// Too many wrong ones.
    Guessing(Duration),
    /// Too many at once.
    Busy,
}

impl From<Busy> for NotNow {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<NotNow> for Error {
    fn from(why: NotNow) -> Self {
        match why {
            NotNow::Guessing(wait) => guessing(wait),
            NotNow::Busy => busy(Busy),
        }
    }
}

fn guessing(wait: Duration) -> Error {
    let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
    let detail = "Too many wrong logins from this network. Wait, then try again.";
    Error::new(Kind::TooMany, detail).retry_after_seconds(seconds)
}

pub(super) fn busy(_: Busy) -> Error {
    Error::new(
        Kind::TooMany,
        "Too many logins at once. Try again in a moment.",
    )
    .retry_after_seconds(1)
}
