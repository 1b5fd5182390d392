//! Logins at an OpenID provider, and confirmations of sessions there.

use super::login::wrong;
use super::{Actor, LoginStep, Service};
use crate::auth::{Arrival, Begun, Errand, OpenId, linked_subject};
use crate::domain::{
    By, Error, Kind, LoginMethod, Result, Role, Scope, Secret, SessionId, User, UserChange,
    username,
};
use crate::store::{NewUser, UserKey, UserUpdate};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What the throttle knows answers by that nobody has asked for; no login name has a blank.
const FORGED: &str = "openid answer";

/// What a browser brings back from the provider (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug, Clone)]
pub struct Answer {
    /// What lets the tokens be fetched.
    pub code: Option<Secret>,
    /// What tells which request it answers.
    pub state: Secret,
    /// Why there is no code.
    pub error: Option<String>,
    /// Who answers.
    pub issuer: Option<String>,
}

/// What has come of it, and where to go on.
pub struct Arrived {
    /// The login; none where a session was confirmed.
    pub login: Option<LoginStep>,
    /// Where to go on.
    pub next: String,
}

/// Why somebody who came back from the provider was not let in.
pub struct OpenIdRefusal {
    /// Why.
    pub error: Error,
    /// The user that it was about; empty where there is none.
    pub name: String,
    /// Where it was to go on, where that is known.
    pub next: String,
    /// Whether a session was to be confirmed.
    pub confirms: bool,
}

impl OpenIdRefusal {
    fn of(errand: &Errand, name: &str, error: Error) -> Self {
        Self {
            error,
            name: name.to_owned(),
            next: errand.next.clone(),
            confirms: errand.confirms().is_some(),
        }
    }
}

impl Service {
    /// What people know the OpenID provider as; none where there is none.
    pub fn openid_name(&self) -> Option<&str> {
        self.inner.rules.openid.as_ref().map(OpenId::name)
    }

    /// The way to the provider: for a login, or so that `confirm` proves again who they are.
    ///
    /// # Errors
    /// `NotFound` where there is no provider, `Unavailable` where it does not answer.
    pub async fn begin_openid(&self, next: &str, confirm: Option<&Actor>) -> Result<Begun> {
        let session = confirm.and_then(Actor::session);
        let errand = Errand::new(self.now(), next, session);
        self.openid()?.begin(errand).await
    }

    /// Takes what a browser brings back.
    ///
    /// # Errors
    /// Why nobody is let in.
    pub async fn finish_openid(
        &self,
        cookie: Option<&Secret>,
        answer: &Answer,
        (from, agent): (IpAddr, String),
    ) -> std::result::Result<Arrived, OpenIdRefusal> {
        let expected = self.expected(cookie, answer, from);
        let (errand, cookie) = expected.map_err(|error| OpenIdRefusal {
            error,
            name: String::new(),
            next: "/".to_owned(),
            confirms: false,
        })?;
        let refuse = |name: &str| {
            let (errand, name) = (errand.clone(), name.to_owned());
            move |error| OpenIdRefusal::of(&errand, &name, error)
        };
        let code = self.code(answer).map_err(refuse(""))?;
        let arrival = self.redeem((&cookie, answer), code).await;
        let arrival = arrival.map_err(refuse(""))?;
        let found = self
            .inner
            .store
            .user(UserKey::Subject(arrival.subject.clone()));
        let found = found.await.map_err(refuse(""))?;
        let name = found.as_ref().map_or("", |user| &user.name).to_owned();
        let done = match errand.confirms() {
            Some(session) => self.confirm_by(session, found, &arrival, from).await,
            None => self.log_in_by(found, &arrival, (from, agent)).await,
        };
        Ok(Arrived {
            login: done.map_err(refuse(&name))?,
            next: errand.next,
        })
    }

    /// What the browser was sent for, with its cookie.
    fn expected(
        &self,
        cookie: Option<&Secret>,
        answer: &Answer,
        from: IpAddr,
    ) -> Result<(Errand, Secret)> {
        let openid = self.openid()?;
        let found = cookie.and_then(|cookie| {
            let errand = openid.errand(cookie, answer.state.expose(), self.now())?;
            Some((errand, cookie.clone()))
        });
        found.ok_or_else(|| {
            tracing::warn!(%from, "an answer of the OpenID provider belongs to no login of this browser");
            let detail = "This browser has not begun that login, or too long ago. Begin anew.";
            match self.inner.throttle.admit(from, FORGED, Instant::now()) {
                Ok(()) => Error::new(Kind::Unauthenticated, detail),
                Err(wait) => too_many(wait),
            }
        })
    }

    fn code<'a>(&self, answer: &'a Answer) -> Result<&'a Secret> {
        let openid = self.openid()?;
        let no = |why: String| Err(Error::new(Kind::Unauthenticated, why));
        // Mix-up of providers (RFC 9207 section 2.4).
        if answer
            .issuer
            .as_ref()
            .is_some_and(|it| it != openid.issuer())
        {
            return no("The answer comes from another provider.".into());
        }
        match (&answer.error, &answer.code) {
            (Some(error), _) => {
                let name = openid.name();
                tracing::warn!(error = ?error.chars().take(64).collect::<String>(), "the OpenID provider refused a login");
                no(match error.as_str() {
                    "access_denied" => format!("{name} did not let you in, or you went back."),
                    "temporarily_unavailable" | "server_error" => {
                        format!("{name} has trouble now. Try again in a moment.")
                    }
                    _ => format!(
                        "{name} refused the login. Ask who runs this server: its log says why."
                    ),
                })
            }
            (None, Some(code)) => Ok(code),
            (None, None) => no("The answer of the provider holds no code. Begin anew.".into()),
        }
    }

    async fn redeem(&self, (cookie, answer): (&Secret, &Answer), code: &Secret) -> Result<Arrival> {
        let state = answer.state.expose();
        let redeemed = self
            .openid()?
            .redeem((cookie, state), code.expose(), self.now());
        redeemed.await.inspect_err(|error| {
            let cause = error.cause().map(ToString::to_string);
            tracing::warn!(%error, cause, "a login at the OpenID provider was refused");
        })
    }

    async fn log_in_by(
        &self,
        found: Option<User>,
        arrival: &Arrival,
        (from, agent): (IpAddr, String),
    ) -> Result<Option<LoginStep>> {
        let user = match found {
            Some(user) => self.returning(user, arrival, from).await?,
            None => self.newcomer(arrival, from).await?,
        };
        let shown = match arrival.second_factor {
            true => LoginMethod::OpenIdSecondFactor,
            false => LoginMethod::OpenId,
        };
        self.go_on(&user, shown, (from, agent)).await.map(Some)
    }

    /// Somebody who is known here. The provider says the role of those that it has made.
    async fn returning(&self, user: User, arrival: &Arrival, from: IpAddr) -> Result<User> {
        require_enabled(&user)?;
        if !user.from_provider {
            return Ok(user);
        }
        let role = arrival.role.ok_or_else(no_role)?;
        if role == user.role {
            return Ok(user);
        }
        let change = UserChange {
            role: Some(role),
            ..UserChange::default()
        };
        let update = UserUpdate {
            change,
            password_hash: None,
        };
        let changed = self
            .inner
            .store
            .change_user(user.id, update, None, self.by_us(from));
        changed.await?.ok_or_else(wrong)
    }

    /// Somebody who is not known here: never taken for a user who has the same name.
    async fn newcomer(&self, arrival: &Arrival, from: IpAddr) -> Result<User> {
        let no = |why: String| Error::new(Kind::Unauthenticated, why);
        let subject = &arrival.subject;
        let link = format!("An admin can link one: wsexec user change NAME --subject {subject}");
        if !self.openid()?.creates_users() {
            return Err(no(format!("You have no user here yet. {link}")));
        }
        let role: Role = arrival.role.ok_or_else(no_role)?;
        let name = arrival.name.as_deref().filter(|it| username(it).is_ok());
        let Some(name) = name else {
            let why = "The provider gives no name that a user could have here.";
            return Err(no(format!("{why} {link}")));
        };
        let new = NewUser {
            name: name.to_owned(),
            role,
            scope: Scope::default(),
            password_hash: None,
            subject: Some(subject.clone()),
            from_provider: true,
        };
        let made = self.inner.store.add_user(new, self.by_us(from)).await;
        made.map_err(|error| match error.kind() {
            Kind::Conflict => no(format!(
                "There is a user {name} already, who may be you or not. {link}"
            )),
            _ => error,
        })
    }

    /// Notes that who uses a session has just logged in anew, where the session is theirs.
    async fn confirm_by(
        &self,
        session: SessionId,
        user: Option<User>,
        arrival: &Arrival,
        from: IpAddr,
    ) -> Result<Option<LoginStep>> {
        let no = |why: &'static str| Error::new(Kind::Unauthenticated, why);
        if !arrival.is_fresh {
            return Err(no(
                "The provider did not ask you to log in again, so this confirms nothing.",
            ));
        }
        let another = "You have logged in there as somebody else. Nothing was confirmed.";
        let user = user.ok_or_else(|| no(another))?;
        require_enabled(&user)?;
        let by = self.by_browser(&user, from);
        match self
            .inner
            .store
            .confirm_session(session, user.id, by)
            .await?
        {
            true => Ok(None),
            false => Err(no(another)),
        }
    }

    /// Issuer and subject of what an admin has typed, which may be the subject alone.
    pub(super) fn linked(&self, subject: String) -> String {
        let whole = subject.is_empty() || (subject.contains("://") && subject.contains('#'));
        match &self.inner.rules.issuer {
            Some(issuer) if !whole => linked_subject(issuer, &subject),
            Some(_) | None => subject,
        }
    }

    fn openid(&self) -> Result<&OpenId> {
        let none = || Error::not_found("There is no OpenID provider here.");
        self.inner.rules.openid.as_ref().ok_or_else(none)
    }

    /// The server itself, at the request of somebody who is not logged in yet.
    fn by_us(&self, from: IpAddr) -> By {
        By {
            from: Some(from),
            ..By::server(self.now())
        }
    }
}

fn require_enabled(user: &User) -> Result<()> {
    let no = || {
        Error::new(
            Kind::Unauthenticated,
            "Your user is disabled here. Ask an admin.",
        )
    };
    (!user.disabled).then_some(()).ok_or_else(no)
}

fn no_role() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "None of your groups at the provider may use this server.",
    )
}

fn too_many(wait: Duration) -> Error {
    let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
    let detail = "Too many answers that nobody asked for from this network. Wait, then try again.";
    Error::new(Kind::TooMany, detail).retry_after_seconds(seconds)
}
