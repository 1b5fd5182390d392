use super::validate::{self, Invalid};
use super::word::word;
use std::fmt;

/// Whether a run ends with the server's connection or goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The script runs on the connection that started it.
    #[default]
    Attached,
    /// The script runs by itself on the machine, and its output is followed.
    Detached,
}

word! {
    Mode {
        Attached => "attached",
        Detached => "detached",
    }
}

/// How a script becomes another user on its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BecomeMethod {
    /// sudo(8)
    #[default]
    Sudo,
    /// doas(1)
    Doas,
}

word! {
    BecomeMethod {
        Sudo => "sudo",
        Doas => "doas",
    }
}

/// As which other user a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Become {
    /// By which program.
    pub method: BecomeMethod,
    /// The user to become.
    pub user: String,
    /// The name under which the configuration has the password, where one is needed; never the
    /// password itself.
    pub password: Option<String>,
}

/// How a script is run beyond the login. The default is what `ssh user@host SCRIPT` does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// Environment variables, in the order in which they were given.
    pub env: Vec<(String, String)>,
    /// The directory to start in; the login's own where there is none.
    pub cwd: Option<String>,
    /// The program, with arguments divided by blanks, that runs the script; `#!` for the one that
    /// the script's own first line names. The user's login shell where there is none.
    pub interpreter: Option<String>,
    /// As which other user.
    pub become_user: Option<Become>,
    /// Whether it runs on a terminal.
    pub pty: bool,
}

impl Launch {
    /// Whether the script goes to the login shell as it is.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, wrong: &mut Invalid) {
        wrong.check("env", validate::env(&self.env));
        if let Some(cwd) = &self.cwd {
            wrong.check("cwd", validate::path(cwd));
        }
        if let Some(interpreter) = &self.interpreter {
            wrong.check("interpreter", validate::interpreter(interpreter));
        }
        if let Some(become_user) = &self.become_user {
            wrong.check("become", become_user.check());
        }
    }
}

impl Become {
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        validate::login_user(&self.user).map_err(|why| format!("user: {why}"))?;
        let Some(password) = &self.password else {
            return Ok(());
        };
        if self.method == BecomeMethod::Doas {
            return Err(
                "doas takes a password from a terminal only: let its configuration ask for none \
                 (nopass), or use sudo"
                    .into(),
            );
        }
        validate::reference(password).map_err(|why| format!("password: {why}"))
    }
}

/// A process on a machine that leads a session (setsid(2)), told apart from a later one with the
/// same number. It is a name of that session: with Dropbear it is the server's own, and no part of
/// the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteProcess {
    /// Its number, which is its session's too.
    pub pid: u32,
    /// When it started, in clock ticks after the boot: field 22 of `/proc/PID/stat` (proc(5)).
    pub started: u64,
    /// The boot that this is counted from: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The connection that it belongs to, as the server wrote it into `SSH_CONNECTION` (ssh(1)).
    pub connection: Option<String>,
}

/// The id of one run of a task: random, made when the task is claimed, never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the SSH libraries that a machine is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SshLibrary {
    /// thrussh, which is tried first.
    Thrussh,
    /// russh, for servers and keys that thrussh cannot serve.
    Russh,
}

word! {
    SshLibrary {
        Thrussh => "thrussh",
        Russh => "russh",
    }
}
