//! How a script is run, as a form has it.

use super::secrets::Rows;
use crate::domain::{Become, BecomeMethod, Launch, Mode, NewTask, Task};
use crate::ui::form::{lines, number};
use serde::Deserialize;

/// What was typed; empty fields leave it to the server.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct How {
    pub mode: String,
    pub env: String,
    pub cwd: String,
    pub stdin: String,
    pub interpreter: String,
    pub become_method: String,
    pub become_user: String,
    pub become_password: String,
    pub pty: String,
    pub retries: String,
    pub retry_delay: String,
    #[serde(flatten)]
    pub secrets: Rows,
}

impl How {
    /// How a task was run; what a form cannot hold is named beside it.
    pub fn of(task: &Task) -> (Self, Option<String>) {
        let launch = &task.launch;
        let (typed, left): (Vec<_>, Vec<_>) = launch
            .env
            .iter()
            .partition(|(_, value)| !value.contains('\n'));
        let mut missing: Vec<_> = left.iter().map(|(name, _)| name.clone()).collect();
        if task.stdin_bytes > 0 {
            missing.push(format!("its standard input of {} bytes", task.stdin_bytes));
        }
        let text = |it: &Option<String>| it.clone().unwrap_or_default();
        let tries = |number: u32| match task.retries {
            0 => String::new(),
            _ => number.to_string(),
        };
        let become_user = launch.become_user.as_ref();
        let how = Self {
            mode: task.mode.as_str().into(),
            env: typed
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect(),
            cwd: text(&launch.cwd),
            stdin: String::new(),
            interpreter: text(&launch.interpreter),
            become_method: become_user.map_or("", |it| it.method.as_str()).into(),
            become_user: become_user.map(|it| it.user.clone()).unwrap_or_default(),
            become_password: become_user
                .and_then(|it| it.password.clone())
                .unwrap_or_default(),
            pty: if launch.pty { "on" } else { "" }.into(),
            retries: tries(task.retries),
            retry_delay: tries(task.retry_delay),
            secrets: Rows::of(&task.secrets),
        };
        let missing = (!missing.is_empty()).then(|| missing.join(", "));
        (how, missing)
    }

    /// Puts it into a new task, and says what is wrong.
    pub fn put(&self, new: &mut NewTask, mut note: impl FnMut(&'static str, String)) {
        let given = |typed: &str| Some(typed.trim().to_owned()).filter(|it| !it.is_empty());
        let mut count = |name, typed: &str, otherwise| match number(typed) {
            Ok(number) => number.unwrap_or(otherwise),
            Err(message) => {
                note(name, message);
                otherwise
            }
        };
        new.retries = count("retries", &self.retries, 0);
        new.retry_delay = count("retry_delay", &self.retry_delay, NewTask::RETRY_DELAY);
        new.mode = match self.mode.as_str() {
            "" => None,
            word => Mode::parse(word).or_else(|| {
                note("mode", "must be attached or detached".into());
                None
            }),
        };
        new.secrets = self.secrets.given();
        new.stdin = Some(lines(&self.stdin).into_bytes()).filter(|it| !it.is_empty());
        new.launch = Launch {
            env: self.variables(&mut note),
            cwd: given(&self.cwd),
            interpreter: given(&self.interpreter),
            become_user: given(&self.become_user).map(|user| Become {
                method: BecomeMethod::parse(&self.become_method).unwrap_or_default(),
                user,
                password: given(&self.become_password),
            }),
            pty: !self.pty.is_empty(),
        };
    }

    fn variables(&self, note: &mut impl FnMut(&'static str, String)) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for line in self.env.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once('=') {
                Some((name, value)) => variables.push((name.trim().into(), value.into())),
                None => note("env", "must have one NAME=value on each line".into()),
            }
        }
        variables
    }

    /// Whether nothing is put around the script.
    pub fn is_plain(&self) -> bool {
        let mut rest = self.fields().into_iter().skip(1);
        self.mode != Mode::Detached.as_str() && rest.all(|(_, value)| value.is_empty())
    }

    /// The fields, with what was typed.
    pub fn fields(&self) -> Vec<(String, &str)> {
        let alone: [(&str, &str); 11] = [
            ("mode", &self.mode),
            ("env", &self.env),
            ("cwd", &self.cwd),
            ("stdin", &self.stdin),
            ("interpreter", &self.interpreter),
            ("become_method", &self.become_method),
            ("become_user", &self.become_user),
            ("become_password", &self.become_password),
            ("pty", &self.pty),
            ("retries", &self.retries),
            ("retry_delay", &self.retry_delay),
        ];
        let alone = alone.map(|(name, value)| (name.to_owned(), value));
        alone.into_iter().chain(self.secrets.fields()).collect()
    }
}
