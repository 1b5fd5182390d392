use crate::domain::{Error, Kind, Result, Role, UserId};

/// Who asks. It can be made only by a login that succeeded (see `login.rs`) and by
/// [`Actor::local`], and every use case takes one: a handler that forgets the gate does not
/// compile.
#[derive(Debug, Clone)]
pub struct Actor {
    user: Option<UserId>,
    name: String,
    role: Role,
}

/// What can be done. The permission table is [`Actor::may`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See instances.
    ReadInstances,
    /// Declare, change and remove instances.
    ManageInstances,
    /// See tasks and their output.
    ReadTasks,
    /// Post, cancel, amend and remove tasks.
    RunTasks,
    /// See, add, change and remove users.
    ManageUsers,
}

impl Actor {
    /// The command line on its own data directory: whoever can write there can do everything.
    pub fn local() -> Self {
        Self {
            user: None,
            name: "local".into(),
            role: Role::Admin,
        }
    }

    pub(super) fn logged_in(user: UserId, name: String, role: Role) -> Self {
        Self {
            user: Some(user),
            name,
            role,
        }
    }

    /// The login name, for the record and for the pages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user; none for the command line.
    pub fn user(&self) -> Option<UserId> {
        self.user
    }

    /// Whose an `Idempotency-Key` is: 0 for the command line.
    pub(super) fn key_owner(&self) -> i64 {
        self.user.map_or(0, |user| user.0)
    }

    /// The permission table: role by action, matched without a wildcard.
    pub fn may(&self, action: Action) -> bool {
        match (self.role, action) {
            (
                Role::Admin,
                Action::ReadInstances
                | Action::ManageInstances
                | Action::ReadTasks
                | Action::RunTasks
                | Action::ManageUsers,
            ) => true,
        }
    }

    pub(super) fn require(&self, action: Action) -> Result<()> {
        if self.may(action) {
            Ok(())
        } else {
            Err(Error::new(
                Kind::Forbidden,
                "Your role does not allow this.",
            ))
        }
    }
}
