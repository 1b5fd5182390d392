use super::word::word;
use super::{Scope, Secret};
use std::fmt;

/// The id of a user: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a user may do, widest first; the permission table in `service` says what that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Runs tasks and manages instances.
    Operator,
    /// Runs tasks.
    Runner,
    /// Looks.
    Viewer,
}

word! {
    Role {
        Admin => "admin",
        Operator => "operator",
        Runner => "runner",
        Viewer => "viewer",
    }
}

impl Role {
    /// Who may post tasks, and whose tasks run: asked again when a task that has waited begins.
    pub const RUN_TASKS: [Self; 3] = [Self::Admin, Self::Operator, Self::Runner];

    /// The narrower of two.
    #[must_use]
    pub fn narrowed(self, to: Self) -> Self {
        self.max(to)
    }
}

/// Somebody, or some program, that may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The login name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// On what it may do it.
    pub scope: Scope,
    /// Whether it may not log in for now.
    pub disabled: bool,
    /// The argon2id hash of the password, as a PHC string; none where it logs in by other means.
    pub password_hash: Option<Secret>,
    /// Whether a login in a browser asks for a code too.
    pub second_factor: bool,
    /// The subject at the OpenID provider that may log in as this user.
    pub subject: Option<String>,
    /// Whether a first login at that provider made it: the groups there say its role.
    pub from_provider: bool,
    /// When it was added, Unix seconds.
    pub created: i64,
    /// Counts what ends what it is logged in with: a new password, role or scope, a disabling.
    pub access: i64,
    /// Counts the changes, for `ETag`.
    pub version: i64,
}

/// What is needed to add a user.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// See [`User::name`].
    pub name: String,
    /// See [`User::role`].
    pub role: Role,
    /// See [`User::scope`].
    pub scope: Scope,
    /// The password; none where it logs in by other means.
    pub password: Option<Secret>,
    /// See [`User::subject`].
    pub subject: Option<String>,
}

/// A partial update of a user: what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// What it may do.
    pub role: Option<Role>,
    /// On what.
    pub scope: Option<Scope>,
    /// Whether it may not log in.
    pub disabled: Option<bool>,
    /// The subject at the OpenID provider; `Some(None)` for none.
    pub subject: Option<Option<String>>,
}
