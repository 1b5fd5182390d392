use super::login::wrong;
use super::{Enrolment, Service};
use crate::auth::{form_token, hash_token, same};
use crate::domain::{By, Error, Kind, LoginMethod, Result, Secret, User, random_token};
use std::net::IpAddr;

/// What the browser gets whose name and password were right: the value of a cookie.
pub enum LoginStep {
    /// A session.
    Session(Secret),
    /// What lets it show a code. Nobody is logged in yet.
    Code(Secret),
    /// What lets it set up the second factor that the role needs. Nobody is logged in yet.
    Enrol(Secret),
}

/// A login that is half done.
pub struct PendingLogin {
    /// Who.
    pub name: String,
    /// What the authenticator is to be told, where there is none yet.
    pub enrolment: Option<Enrolment>,
    /// What the forms carry.
    pub form_token: Secret,
}

impl Service {
    /// Logs in for the pages with a name and a password.
    ///
    /// # Errors
    /// As [`Service::authenticate`]; `Conflict` where a second factor has to be set up and the
    /// server has no master key.
    pub async fn log_in(
        &self,
        name: &str,
        password: &Secret,
        (from, agent): (IpAddr, String),
    ) -> Result<LoginStep> {
        let (user, _) = self.check_password(name, password, from).await?;
        self.go_on(&user, LoginMethod::Password, (from, agent))
            .await
    }

    /// What comes after the first proof of a login: a session, or the way to the second factor that
    /// is still to be shown.
    pub(super) async fn go_on(
        &self,
        user: &User,
        shown: LoginMethod,
        (from, agent): (IpAddr, String),
    ) -> Result<LoginStep> {
        let asked = user.second_factor || self.needs_second_factor(user);
        if shown.has_second_factor() || !asked {
            let begun = self.begin_session(user, shown, (from, agent));
            return begun.await.map(LoginStep::Session);
        }
        let method = shown.with_second_factor();
        let token = random_token();
        let (store, now) = (&self.inner.store, self.now());
        if user.second_factor {
            store
                .open_pending_login(hash_token(&token), (user, method), now)
                .await?;
            return Ok(LoginStep::Code(token));
        }
        let begun = self.begin_for(user.id, self.by_browser(user, from));
        begun.await.map_err(no_way_in)?;
        store
            .open_pending_login(hash_token(&token), (user, method), now)
            .await?;
        Ok(LoginStep::Enrol(token))
    }

    /// The login that a browser has half done; none where it took too long or too many tries.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn pending_login(&self, token: &Secret) -> Result<Option<PendingLogin>> {
        let found = self
            .inner
            .store
            .pending_login(hash_token(token), self.now());
        let Some(user) = found.await? else {
            return Ok(None);
        };
        let enrolment = match user.second_factor {
            true => None,
            false => self.enrolment_of(&user).await?,
        };
        Ok(Some(PendingLogin {
            name: user.name,
            enrolment,
            form_token: form_token(token),
        }))
    }

    /// Finishes a login with a code: gives the value of the session's cookie.
    ///
    /// # Errors
    /// `Unauthenticated` where the code is wrong; `Conflict` where the login has to begin anew.
    pub async fn finish_login(
        &self,
        token: &Secret,
        code: &str,
        (from, agent): (IpAddr, String),
    ) -> Result<Secret> {
        let (user, method) = self.one_try_less(token).await?;
        let by = self.by_browser(&user, from);
        self.check_code(&user, code, by).await?;
        self.inner
            .store
            .end_pending_login(hash_token(token))
            .await?;
        self.begin_session(&user, method, (from, agent)).await
    }

    /// Finishes a login with the first code of a new authenticator: gives the value of the
    /// session's cookie, and the recovery codes.
    ///
    /// # Errors
    /// `Invalid` where the code is wrong; `Conflict` where the login has to begin anew.
    pub async fn finish_enrolment(
        &self,
        token: &Secret,
        code: &str,
        (from, agent): (IpAddr, String),
    ) -> Result<(Secret, Vec<Secret>)> {
        let (user, method) = self.one_try_less(token).await?;
        let by = self.by_browser(&user, from);
        let codes = self.confirm_for(&user, code, None, by).await?;
        self.inner
            .store
            .end_pending_login(hash_token(token))
            .await?;
        // The new factor has changed what the user's rights are counted by.
        let user = self.inner.store.user(crate::store::UserKey::Id(user.id));
        let user = user.await?.ok_or_else(wrong)?;
        let begun = self.begin_session(&user, method, (from, agent));
        Ok((begun.await?, codes))
    }

    async fn one_try_less(&self, token: &Secret) -> Result<(User, LoginMethod)> {
        let (hash, now) = (hash_token(token), self.now());
        let found = self.inner.store.try_pending_login(hash, now).await?;
        found.ok_or_else(|| Error::conflict("This login took too long, or too many tries."))
    }

    /// Somebody who has shown who they are, and who is not logged in yet.
    pub(super) fn by_browser(&self, user: &User, from: IpAddr) -> By {
        By {
            name: user.name.clone(),
            from: Some(from),
            ..By::server(self.now())
        }
    }
}

/// Whether a form with this token is one of the browser that has this cookie.
pub fn is_form_of(cookie: &Secret, token: &str) -> bool {
    same(form_token(cookie).expose(), token)
}

/// Whoever is not let in cannot do what the error says.
fn no_way_in(error: Error) -> Error {
    match error.kind() {
        Kind::Conflict => Error::conflict(
            "Your role needs a second factor, and this server cannot keep one yet: it has no \
             master key. Ask who runs it (wsexec secrets init).",
        )
        .caused_by(error),
        _ => error,
    }
}
