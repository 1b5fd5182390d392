//! Users, their tokens and their sessions as the API shows them.

use super::word::OneOf;
use crate::domain::{LoginMethod, Role, Secret, Session, Token, User};
use crate::service::{Action, Actor};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

/// Somebody, or some program, that may log in.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "User", example)]
pub struct UserJson {
    /// Given by the server, never reused.
    pub id: i64,
    /// The absolute URL of this user.
    pub uri: String,
    /// The login name.
    pub name: String,
    /// What they may do.
    pub role: OneOf<Role>,
    /// On what: rules `LOGIN@INSTANCES`, where a `!` forbids; everything where there is none.
    pub scope: Vec<String>,
    /// Whether they may not log in for now.
    pub disabled: bool,
    /// Whether there is a password.
    pub password: bool,
    /// Whether a login asks for a code too.
    pub second_factor: bool,
    /// Who they are at the OpenID provider.
    #[oai(nullable)]
    pub subject: Option<String>,
    /// When they were added, Unix seconds.
    pub created: i64,
}

impl UserJson {
    /// The user as the API shows it.
    pub fn new(user: &User, base: &str) -> Self {
        Self {
            id: user.id.0,
            uri: format!("{base}/wsexec/users/{}", user.id),
            name: user.name.clone(),
            role: OneOf(user.role),
            scope: user.scope.rules(),
            disabled: user.disabled,
            password: user.password_hash.is_some(),
            second_factor: user.second_factor,
            subject: user.subject.clone(),
            created: user.created,
        }
    }
}

impl Example for UserJson {
    fn example() -> Self {
        Self {
            id: 2,
            uri: "https://127.0.0.1:8443/wsexec/users/2".into(),
            name: "antoine".into(),
            role: OneOf(Role::Runner),
            scope: vec!["deploy@web-*".into(), "!root@*".into()],
            disabled: false,
            password: true,
            second_factor: false,
            subject: None,
            created: 1_436_506_743,
        }
    }
}

/// One user.
#[derive(Object, Serialize)]
#[oai(rename = "UserAnswer")]
pub struct UserAnswer {
    /// The user.
    pub user: UserJson,
}

/// Users, by name.
#[derive(Object, Serialize)]
#[oai(rename = "UsersAnswer")]
pub struct UsersAnswer {
    /// The users.
    pub users: Vec<UserJson>,
}

/// Whoever asks, and what they may do by what they are let in with.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Myself")]
pub struct MyselfJson {
    /// The id of the user.
    pub id: i64,
    /// The login name.
    pub name: String,
    /// What they may do at most.
    pub role: OneOf<Role>,
    /// On what: lists of rules, each of which has to hold; everything where there is none.
    pub scopes: Vec<Vec<String>>,
    /// What they may do.
    pub permissions: Vec<String>,
    /// The id of the token that they use.
    #[oai(nullable)]
    pub token: Option<i64>,
    /// The id of the session that they use.
    #[oai(nullable)]
    pub session: Option<i64>,
}

impl MyselfJson {
    /// Whoever this is; none for the command line.
    pub fn new(actor: &Actor) -> Option<Self> {
        let may = |action: &Action| actor.may(*action);
        let permissions = Action::ALL.into_iter().filter(may);
        Some(Self {
            id: actor.user()?.0,
            name: actor.name().to_owned(),
            role: OneOf(actor.role()),
            scopes: actor.scopes().rules(),
            permissions: permissions.map(|it| it.as_str().to_owned()).collect(),
            token: actor.token().map(|it| it.0),
            session: actor.session().map(|it| it.0),
        })
    }
}

/// Whoever asks.
#[derive(Object, Serialize)]
#[oai(rename = "MyselfAnswer")]
pub struct MyselfAnswer {
    /// The user.
    pub user: MyselfJson,
}

/// An API token.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Token", example)]
pub struct TokenJson {
    /// Given by the server, never reused.
    pub id: i64,
    /// The absolute URL of this token.
    pub uri: String,
    /// What it is for.
    pub name: String,
    /// The id of its owner.
    pub user: i64,
    /// The owner's login name.
    pub user_name: String,
    /// What it may do at most, and never more than its owner.
    pub role: OneOf<Role>,
    /// On what at most, and never more than its owner; everything of the owner's where it is empty.
    pub scope: Vec<String>,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// From when on it is of no use.
    pub expires: i64,
    /// When it was last used, to about a minute.
    #[oai(nullable)]
    pub used: Option<i64>,
    /// From where that was.
    #[oai(nullable)]
    pub used_from: Option<String>,
    /// Its text, for `Authorization: Bearer`: in the answer to the POST that made it, and never
    /// again.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl TokenJson {
    /// The token as the API shows it; with its text where it is new.
    pub fn new(token: &Token, base: &str, text: Option<&Secret>) -> Self {
        Self {
            id: token.id.0,
            uri: format!("{base}/wsexec/tokens/{}", token.id),
            name: token.name.clone(),
            user: token.user.0,
            user_name: token.user_name.clone(),
            role: OneOf(token.role),
            scope: token.scope.rules(),
            created: token.created,
            expires: token.expires,
            used: token.used,
            used_from: token.used_from.clone(),
            token: text.map(|text| text.expose().to_owned()),
        }
    }
}

impl Example for TokenJson {
    fn example() -> Self {
        Self {
            id: 1,
            uri: "https://127.0.0.1:8443/wsexec/tokens/1".into(),
            name: "ci".into(),
            user: 2,
            user_name: "antoine".into(),
            role: OneOf(Role::Runner),
            scope: vec!["deploy@web-*".into()],
            created: 1_436_506_743,
            expires: 1_444_282_743,
            used: Some(1_436_506_790),
            used_from: Some("192.0.2.7".into()),
            token: None,
        }
    }
}

/// One API token.
#[derive(Object, Serialize)]
#[oai(rename = "TokenAnswer")]
pub struct TokenAnswer {
    /// The token.
    pub token: TokenJson,
}

/// API tokens, newest first.
#[derive(Object, Serialize)]
#[oai(rename = "TokensAnswer")]
pub struct TokensAnswer {
    /// The tokens.
    pub tokens: Vec<TokenJson>,
}

/// A session of the pages.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Session", example)]
pub struct SessionJson {
    /// Given by the server, never reused.
    pub id: i64,
    /// The id of whose it is.
    pub user: i64,
    /// Their login name.
    pub user_name: String,
    /// How it began.
    pub method: OneOf<LoginMethod>,
    /// When it began, Unix seconds.
    pub created: i64,
    /// When it was last used, to about a minute.
    pub seen: i64,
    /// From where it began.
    #[oai(nullable)]
    pub address: Option<String>,
    /// The browser, as it calls itself.
    pub agent: String,
    /// Whether it is the one that this was asked in.
    pub current: bool,
}

impl SessionJson {
    /// The session as the API shows it.
    pub fn new(session: &Session, actor: &Actor) -> Self {
        Self {
            id: session.id.0,
            user: session.user.0,
            user_name: session.user_name.clone(),
            method: OneOf(session.method),
            created: session.created,
            seen: session.seen,
            address: session.address.clone(),
            agent: session.agent.clone(),
            current: actor.session() == Some(session.id),
        }
    }
}

impl Example for SessionJson {
    fn example() -> Self {
        Self {
            id: 1,
            user: 2,
            user_name: "antoine".into(),
            method: OneOf(LoginMethod::Password),
            created: 1_436_506_743,
            seen: 1_436_506_790,
            address: Some("192.0.2.7".into()),
            agent: "Mozilla/5.0".into(),
            current: true,
        }
    }
}

/// Sessions, newest first.
#[derive(Object, Serialize)]
#[oai(rename = "SessionsAnswer")]
pub struct SessionsAnswer {
    /// The sessions.
    pub sessions: Vec<SessionJson>,
}
