//! With what somebody is let in: sessions of the pages and API tokens.

use super::word::word;
use super::{Role, Scope, Scopes, UserId};
use std::fmt;
use std::net::IpAddr;

/// The hash of a token's or a cookie's text: the text itself is never stored.
pub type TokenHash = [u8; 32];

/// The id of an API token: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(pub i64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a session: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// By which means somebody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// The command line on its own data directory.
    Local,
    /// A name and a password with each request.
    Password,
    /// A session of the pages.
    Session(SessionId),
    /// An API token.
    Token(TokenId),
    /// A client certificate.
    Certificate,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Password => f.write_str("password"),
            Self::Session(id) => write!(f, "session/{id}"),
            Self::Token(id) => write!(f, "token/{id}"),
            Self::Certificate => f.write_str("certificate"),
        }
    }
}

/// That a user was let in, by what, and as of which state of that user's rights: what is done with
/// it finds out, in its own transaction, whether it still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: UserId,
    /// [`super::User::access`] at that time.
    pub access: i64,
    /// By what.
    pub via: Via,
}

/// Who does something, from where and when: what the audit trail says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The login name; `local` for the command line and `wsexec` for the server itself.
    pub name: String,
    /// What lets them; none for the command line and the server itself.
    pub grant: Option<Grant>,
    /// On what they may do it.
    pub scopes: Scopes,
    /// Where the request came from.
    pub from: Option<IpAddr>,
    /// When, Unix seconds.
    pub at: i64,
}

impl By {
    /// The server itself.
    pub fn server(at: i64) -> Self {
        Self {
            name: "wsexec".into(),
            grant: None,
            scopes: Scopes::default(),
            from: None,
            at,
        }
    }

    /// Whose an `Idempotency-Key` is: 0 for the command line.
    pub fn key_owner(&self) -> i64 {
        self.grant.map_or(0, |grant| grant.user.0)
    }

    /// By which means.
    pub fn via(&self) -> Via {
        self.grant.map_or(Via::Local, |grant| grant.via)
    }
}

/// How a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMethod {
    /// A password.
    Password,
    /// A password and a code of an authenticator, or a recovery code.
    SecondFactor,
    /// An OpenID provider.
    OpenId,
    /// The same, and a second factor: one that the provider asked for, or a code of an authenticator.
    OpenIdSecondFactor,
}

word! {
    LoginMethod {
        Password => "password",
        SecondFactor => "second_factor",
        OpenId => "openid",
        OpenIdSecondFactor => "openid_second_factor",
    }
}

impl LoginMethod {
    /// The same once a second factor was shown too.
    #[must_use]
    pub fn with_second_factor(self) -> Self {
        match self {
            Self::Password | Self::SecondFactor => Self::SecondFactor,
            Self::OpenId | Self::OpenIdSecondFactor => Self::OpenIdSecondFactor,
        }
    }

    /// Whether a second factor was shown.
    pub fn has_second_factor(self) -> bool {
        self == self.with_second_factor()
    }
}

/// A session of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The login name.
    pub user_name: String,
    /// How it began.
    pub method: LoginMethod,
    /// When it began, Unix seconds.
    pub created: i64,
    /// When it was last used, to about a minute.
    pub seen: i64,
    /// When who uses it last proved who they are: at its begin, or since then.
    pub confirmed: i64,
    /// From where it began.
    pub address: Option<String>,
    /// The browser, as it calls itself.
    pub agent: String,
}

/// An API token: all but its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whose.
    pub user: UserId,
    /// The owner's login name.
    pub user_name: String,
    /// What it is for.
    pub name: String,
    /// What it may do at most: never more than its owner.
    pub role: Role,
    /// On what at most: never more than its owner.
    pub scope: Scope,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// From when on it is of no use.
    pub expires: i64,
    /// When it was last used, to about a minute.
    pub used: Option<i64>,
    /// From where that was.
    pub used_from: Option<String>,
}

/// What somebody asks for who wants a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// See [`Token::name`].
    pub name: String,
    /// See [`Token::role`]; the owner's where it is not said.
    pub role: Option<Role>,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::expires`]; after 90 days where it is not said.
    pub expires: Option<Expiry>,
}

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At this time, Unix seconds.
    At(i64),
    /// In so many seconds.
    In(i64),
}

impl TokenRequest {
    /// How long a token lives unless that is said, in seconds.
    pub const USUAL: i64 = 90 * 24 * 60 * 60;
    /// How long it lives at most.
    pub const LONGEST: i64 = 366 * 24 * 60 * 60;

    /// When it ends, seen from now; none where that is past or too far away.
    pub fn expires(&self, now: i64) -> Option<i64> {
        let at = match self.expires {
            Some(Expiry::At(at)) => at,
            Some(Expiry::In(seconds)) => now.saturating_add(seconds),
            None => now + Self::USUAL,
        };
        (at > now && at - now <= Self::LONGEST).then_some(at)
    }
}

/// What is needed to make a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// See [`Token::name`].
    pub name: String,
    /// See [`Token::role`].
    pub role: Role,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::expires`].
    pub expires: i64,
}
