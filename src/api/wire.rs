use super::word::OneOf;
use crate::domain::{
    Approval, ApprovalState, Attempt, Become, BecomeMethod, Gap, Mode, Outcome, State, Stream, Task,
};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use std::collections::BTreeMap;

/// The part of a stream that was left out, in bytes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Gap")]
pub struct GapJson {
    /// Where it begins.
    pub offset: u64,
    /// How much is missing.
    pub length: u64,
}

impl From<Gap> for GapJson {
    fn from(gap: Gap) -> Self {
        Self {
            offset: gap.offset,
            length: gap.length,
        }
    }
}

/// As which other user a script runs.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Become")]
pub struct BecomeJson {
    /// The user to become.
    pub user: String,
    /// `sudo` unless given, or `doas`.
    #[oai(default = "sudo")]
    pub method: OneOf<BecomeMethod>,
    /// The name that the server's configuration has for the password (`ssh.become_passwords`);
    /// never the password.
    #[oai(nullable)]
    pub password: Option<String>,
}

fn sudo() -> OneOf<BecomeMethod> {
    OneOf(BecomeMethod::Sudo)
}

impl From<Become> for BecomeJson {
    fn from(it: Become) -> Self {
        Self {
            method: OneOf(it.method),
            user: it.user,
            password: it.password,
        }
    }
}

/// One execution of a script on one instance.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Task", example)]
pub struct TaskJson {
    /// Given by the server, never reused.
    pub id: i64,
    /// The absolute URL of this task.
    pub uri: String,
    /// What it is called.
    pub name: String,
    /// A description.
    pub tag: String,
    /// The id of the instance.
    pub instance: i64,
    /// What runs, handed to the user's login shell.
    pub script: String,
    /// The user that it logs in as.
    pub user: String,
    /// When it began, Unix seconds.
    #[oai(nullable)]
    pub start: Option<i64>,
    /// When it ended, Unix seconds; never before its start.
    #[oai(nullable)]
    pub end: Option<i64>,
    /// The exit code; null until there is one.
    #[oai(nullable)]
    pub rc: Option<i64>,
    /// `INIT` accepted, not begun; `CURRENT` running; `DONE` the script exited by itself, whatever
    /// its rc; `ABORT` anything else.
    pub state: OneOf<State>,
    /// Why it is DONE or ABORT.
    #[oai(nullable)]
    pub outcome: Option<OneOf<Outcome>>,
    /// One sentence: what happened and what to do, or what a task in INIT waits for.
    #[oai(nullable)]
    pub reason: Option<String>,
    /// The signal that ended it, without `SIG`.
    #[oai(nullable)]
    pub signal: Option<String>,
    /// When it was accepted, Unix seconds.
    pub created: i64,
    /// Who posted it.
    pub created_by: String,
    /// The deadline for the whole run, in seconds.
    #[oai(nullable)]
    pub timeout: Option<u32>,
    /// `attached` ends with the server's connection, `detached` goes on without it.
    pub mode: OneOf<Mode>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The directory that it starts in; the login's own where it is null.
    #[oai(nullable)]
    pub cwd: Option<String>,
    /// What runs the script; the login shell where it is null.
    #[oai(nullable)]
    pub interpreter: Option<String>,
    /// As which other user it runs.
    #[oai(rename = "become", nullable)]
    #[serde(rename = "become")]
    pub become_user: Option<BecomeJson>,
    /// Whether it runs on a terminal.
    pub pty: bool,
    /// What it is given in secret: the identities by the names that the script has for them.
    pub secrets: BTreeMap<String, String>,
    /// The second person that it needs; null where it needs none.
    #[oai(nullable)]
    pub approval: Option<ApprovalJson>,
    /// How often a secret was masked in its output.
    pub masked: u64,
    /// How many bytes it reads.
    pub stdin_bytes: u64,
    /// How often it is tried again where the machine cannot be reached.
    pub retries: u32,
    /// Seconds before that.
    pub retry_delay: u32,
    /// How often it was begun.
    pub attempt: u32,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// Whether the result was changed after the end.
    pub amended: bool,
    /// Whether it stays: retention passes it by, and it cannot be removed.
    pub pinned: bool,
    /// How many bytes of standard output came.
    pub stdout_bytes: u64,
    /// How many bytes of standard error came.
    pub stderr_bytes: u64,
    /// What of standard output was left out.
    #[oai(nullable)]
    pub stdout_gap: Option<GapJson>,
    /// What of standard error was left out.
    #[oai(nullable)]
    pub stderr_gap: Option<GapJson>,
    /// Standard output, with U+FFFD for what is not UTF-8. Absent with `output=none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Standard error, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
}

impl TaskJson {
    /// The task without its output, which is read and written apart.
    pub fn new(task: &Task, base: &str) -> Self {
        // The text that is shown for an amended stream is whole.
        let gap = |stream| {
            let gap = task.stream(stream).gap.map(GapJson::from);
            gap.filter(|_| !task.is_amended(stream))
        };
        Self {
            id: task.id.0,
            uri: format!("{base}/wsexec/tasks/{}", task.id),
            name: task.name.clone(),
            tag: task.tag.clone(),
            instance: task.instance.0,
            script: task.script.clone(),
            user: task.user.clone(),
            start: task.start,
            end: task.end,
            rc: task.rc,
            state: OneOf(task.state),
            outcome: task.outcome.map(OneOf),
            reason: task.reason.clone(),
            signal: task.signal.clone(),
            created: task.created,
            created_by: task.created_by.clone(),
            timeout: task.timeout,
            mode: OneOf(task.mode),
            env: task.launch.env.iter().cloned().collect(),
            cwd: task.launch.cwd.clone(),
            interpreter: task.launch.interpreter.clone(),
            become_user: task.launch.become_user.clone().map(BecomeJson::from),
            pty: task.launch.pty,
            secrets: task.secrets.iter().cloned().collect(),
            approval: task.approval.as_ref().map(ApprovalJson::from),
            masked: task.masked,
            stdin_bytes: task.stdin_bytes,
            retries: task.retries,
            retry_delay: task.retry_delay,
            attempt: task.attempt,
            cancel_requested: task.cancel_requested,
            amended: task.amended,
            pinned: task.pinned,
            stdout_bytes: task.stdout.bytes,
            stderr_bytes: task.stderr.bytes,
            stdout_gap: gap(Stream::Stdout),
            stderr_gap: gap(Stream::Stderr),
            stdout: None,
            stderr: None,
        }
    }
}

/// The second person that a task needs.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Approval")]
pub struct ApprovalJson {
    /// `waiting` until somebody decides; then `approved` or `refused`; `expired` where nobody did in
    /// time; `withdrawn` where it was cancelled before.
    pub state: OneOf<ApprovalState>,
    /// When nobody can approve it any more, Unix seconds.
    pub expires: i64,
    /// The machine that it was posted for, and the jumps on the way: it runs on no other.
    pub address: String,
    /// Who decided.
    #[oai(nullable)]
    pub by: Option<String>,
    /// When that was, Unix seconds.
    #[oai(nullable)]
    pub at: Option<i64>,
    /// What they said.
    pub comment: String,
}

impl From<&Approval> for ApprovalJson {
    fn from(it: &Approval) -> Self {
        Self {
            state: OneOf(it.state),
            expires: it.expires,
            address: it.address.clone(),
            by: it.by.clone(),
            at: it.at,
            comment: it.comment.clone(),
        }
    }
}

/// A run that could not begin, before the last one.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Attempt")]
pub struct AttemptJson {
    /// Which one, from 1.
    pub attempt: u32,
    /// When it was begun, Unix seconds.
    pub start: i64,
    /// When it was over.
    pub end: i64,
    /// Why.
    pub outcome: OneOf<Outcome>,
    /// One sentence: what happened and what to do.
    #[oai(nullable)]
    pub reason: Option<String>,
}

impl From<Attempt> for AttemptJson {
    fn from(it: Attempt) -> Self {
        Self {
            attempt: it.number,
            start: it.start,
            end: it.end,
            outcome: OneOf(it.outcome),
            reason: it.reason,
        }
    }
}

/// The attempts of a task that could not begin.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Attempts")]
pub struct AttemptsAnswer {
    /// The first comes first; the last run is the task itself.
    pub attempts: Vec<AttemptJson>,
}

impl Example for TaskJson {
    fn example() -> Self {
        Self {
            id: 1,
            uri: "https://127.0.0.1:8443/wsexec/tasks/1".into(),
            name: "save_mongo".into(),
            tag: "dump mongo".into(),
            instance: 1,
            script: "/home/debian/mongo_save.sh".into(),
            user: "debian".into(),
            start: Some(1_436_506_743),
            end: Some(1_436_506_790),
            rc: Some(0),
            state: OneOf(State::Done),
            outcome: Some(OneOf(Outcome::Exited)),
            reason: None,
            signal: None,
            created: 1_436_506_743,
            created_by: "admin".into(),
            timeout: None,
            mode: OneOf(Mode::Attached),
            env: BTreeMap::new(),
            cwd: None,
            interpreter: None,
            become_user: None,
            pty: false,
            secrets: BTreeMap::new(),
            approval: None,
            masked: 0,
            stdin_bytes: 0,
            retries: 0,
            retry_delay: 10,
            attempt: 1,
            cancel_requested: false,
            amended: false,
            pinned: false,
            stdout_bytes: 3,
            stderr_bytes: 0,
            stdout_gap: None,
            stderr_gap: None,
            stdout: Some("OK\n".into()),
            stderr: Some(String::new()),
        }
    }
}

/// One task.
#[derive(Object)]
#[oai(rename = "TaskAnswer")]
pub struct TaskAnswer {
    /// The task.
    task: TaskJson,
}

/// One task without its output.
#[derive(Object, Serialize)]
#[oai(rename = "TaskOnlyAnswer")]
pub struct TaskOnlyAnswer {
    /// The task.
    pub task: TaskJson,
}

/// Tasks, by id.
#[derive(Object)]
#[oai(rename = "TasksAnswer")]
pub struct TasksAnswer {
    /// The tasks.
    tasks: Vec<TaskJson>,
}

/// It is done.
#[derive(Object)]
#[oai(rename = "Removed", example)]
pub struct RemovedAnswer {
    /// Always true.
    pub result: bool,
}

impl Example for RemovedAnswer {
    fn example() -> Self {
        Self { result: true }
    }
}
