use super::word::word;
use super::{Become, Result, SshLibrary, validate};

/// What the connections to an instance have told of it. As news of one connection, what is `None`
/// is what that connection tells nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// When a login there succeeded last, Unix seconds.
    pub last_seen: Option<i64>,
    /// How long the last new connection took with its login, in milliseconds.
    pub latency_ms: Option<u32>,
    /// Why the last connection that failed did.
    pub last_error: Option<String>,
    /// When that was, Unix seconds.
    pub last_error_at: Option<i64>,
    /// What spoke with it last.
    pub library: Option<SshLibrary>,
}

impl Health {
    /// This, with what it tells nothing of as it was before.
    #[must_use]
    pub fn over(self, before: Self) -> Self {
        Self {
            last_seen: self.last_seen.or(before.last_seen),
            latency_ms: self.latency_ms.or(before.latency_ms),
            last_error: self.last_error.or(before.last_error),
            last_error_at: self.last_error_at.or(before.last_error_at),
            library: self.library.or(before.library),
        }
    }

    /// Whether the last connection failed.
    pub fn is_failing(&self) -> bool {
        self.last_error_at
            .is_some_and(|at| self.last_seen.is_none_or(|seen| seen < at))
    }
}

/// One step of a check, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckStep {
    /// The machine, and the jumps before it, take a connection and speak SSH.
    Reachable,
    /// Its host key is the right one.
    HostKey,
    /// The user is let in.
    Login,
    /// The login shell runs commands.
    Shell,
    /// The directory that detached runs keep their state in can be written.
    StateDirectory,
    /// The other user's rights can be had.
    Become,
    /// The machine's clock shows what ours shows.
    Clock,
}

word! {
    CheckStep {
        Reachable => "reachable",
        HostKey => "host_key",
        Login => "login",
        Shell => "shell",
        StateDirectory => "state_directory",
        Become => "become",
        Clock => "clock",
    }
}

/// What a check is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRequest {
    /// The user to log in as.
    pub user: String,
    /// As which other user scripts are to run, where that is to be checked too.
    pub become_user: Option<Become>,
}

impl CheckRequest {
    /// Checks every field.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = validate::Invalid::default();
        wrong.check("user", validate::login_user(&self.user));
        if let Some(become_user) = &self.become_user {
            wrong.check("become", become_user.check());
        }
        wrong.finish()
    }
}

/// What a step of a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// Which step.
    pub step: CheckStep,
    /// Whether it went well; none where it was not tried, as an earlier one failed.
    pub ok: Option<bool>,
    /// What was found.
    pub detail: String,
    /// What to do about it, where there is anything to do.
    pub advice: Option<String>,
}

/// What a check of an instance has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// One finding for each step that was asked for, in order.
    pub steps: Vec<CheckFinding>,
}

impl Check {
    /// Whether every step went well.
    pub fn is_ok(&self) -> bool {
        self.steps.iter().all(|step| step.ok == Some(true))
    }
}
