//! What a task is posted as.

use super::Task;
use crate::domain::{InstanceId, Launch, Mode, Result, validate};

/// What is needed to post a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTask {
    /// See [`Task::name`].
    pub name: String,
    /// See [`Task::tag`].
    pub tag: String,
    /// See [`Task::instance`].
    pub instance: InstanceId,
    /// See [`Task::script`].
    pub script: String,
    /// See [`Task::user`].
    pub user: String,
    /// See [`Task::timeout`].
    pub timeout: Option<u32>,
    /// See [`Task::mode`]; the instance's own where there is none.
    pub mode: Option<Mode>,
    /// See [`Task::launch`].
    pub launch: Launch,
    /// See [`Task::secrets`].
    pub secrets: Vec<(String, String)>,
    /// What the script reads; nothing where there is none.
    pub stdin: Option<Vec<u8>>,
    /// See [`Task::retries`].
    pub retries: u32,
    /// See [`Task::retry_delay`].
    pub retry_delay: u32,
    /// See [`Task::pinned`].
    pub pinned: bool,
}

impl NewTask {
    /// Seconds before a run that could not begin is tried again, where nobody says otherwise.
    pub const RETRY_DELAY: u32 = 10;

    /// What a task was posted as, to post it again.
    pub fn again(task: Task, stdin: Option<Vec<u8>>) -> Self {
        Self {
            name: task.name,
            tag: task.tag,
            instance: task.instance,
            script: task.script,
            user: task.user,
            timeout: task.timeout,
            mode: Some(task.mode),
            launch: task.launch,
            secrets: task.secrets,
            stdin,
            retries: task.retries,
            retry_delay: task.retry_delay,
            // Pinned is what ran then.
            pinned: false,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`crate::domain::Kind::Invalid`], naming each field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = validate::Invalid::default();
        wrong.check("name", validate::name(&self.name));
        wrong.check("tag", validate::tag(&self.tag));
        wrong.check(
            "script",
            match self.launch.interpreter {
                None => validate::script(&self.script),
                Some(_) => validate::script_file(&self.script),
            },
        );
        wrong.check("user", validate::login_user(&self.user));
        if let Some(seconds) = self.timeout {
            wrong.check("timeout", validate::timeout(i64::from(seconds)));
        }
        self.launch.check(&mut wrong);
        wrong.check("secrets", validate::secrets(&self.secrets));
        wrong.check("retries", validate::retries(i64::from(self.retries)));
        let delay = i64::from(self.retry_delay);
        wrong.check("retry_delay", validate::retry_delay(delay));
        if let Some(stdin) = &self.stdin {
            wrong.check("stdin", validate::stdin(stdin));
        }
        if self.launch.pty && self.stdin.is_some() {
            wrong.add(
                "stdin",
                "cannot go through a terminal: leave out pty or stdin",
            );
        }
        if self.launch.pty && self.mode == Some(Mode::Detached) {
            wrong.add(
                "pty",
                "is for attached runs: a detached one has no terminal",
            );
        }
        wrong.finish()
    }
}
