//! One execution of a script on one instance: what is known of it, and the rules of its life.

mod ending;
mod new;
mod output;
mod state;
mod update;

pub use ending::{Ending, Outcome};
pub use new::NewTask;
pub use output::{Gap, Stream, StreamInfo};
pub use state::{Attempt, State};
pub use update::{Amendment, TaskUpdate};

use super::{Approval, InstanceId, Launch, Mode, RemoteProcess, RunId, UserId};
use std::fmt;

/// The id of a task: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub i64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One execution of a script on one instance. Output is read apart: a task never carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it is called.
    pub name: String,
    /// A description.
    pub tag: String,
    /// Where it runs.
    pub instance: InstanceId,
    /// What runs.
    pub script: String,
    /// The user to log in as.
    pub user: String,
    /// Where it stands.
    pub state: State,
    /// Why it ended.
    pub outcome: Option<Outcome>,
    /// One sentence for a person. In INIT it is what was wrong with the last attempt, and the
    /// rest is derived: see `service`.
    pub reason: Option<String>,
    /// The exit code.
    pub rc: Option<i64>,
    /// The signal that ended it, without `SIG`.
    pub signal: Option<String>,
    /// When it was accepted, Unix seconds.
    pub created: i64,
    /// The login name of whoever posted it.
    pub created_by: String,
    /// The same as a user; none for the command line.
    pub owner: Option<UserId>,
    /// When it began.
    pub start: Option<i64>,
    /// When it ended.
    pub end: Option<i64>,
    /// The deadline for the whole run, in seconds.
    pub timeout: Option<u32>,
    /// Whether it goes on without the server's connection.
    pub mode: Mode,
    /// How it is run.
    pub launch: Launch,
    /// What it is given in secret: the name in the script, and the name of the identity.
    pub secrets: Vec<(String, String)>,
    /// The second person that it needs; none where it needs none.
    pub approval: Option<Approval>,
    /// How often a secret was masked in its output.
    pub masked: u64,
    /// How many bytes it reads from its standard input; they are read apart.
    pub stdin_bytes: u64,
    /// How often it is tried again where it could not be started.
    pub retries: u32,
    /// Seconds before it is tried again.
    pub retry_delay: u32,
    /// How often it was begun.
    pub attempt: u32,
    /// When it may be tried again; for INIT alone.
    pub not_before: Option<i64>,
    /// The run that it has, or had last.
    pub run: Option<RunId>,
    /// The process on the machine, as far as it is known.
    pub process: Option<RemoteProcess>,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// Whether the result was changed after the end.
    pub amended: bool,
    /// Standard output, as it came.
    pub stdout: StreamInfo,
    /// Standard error, as it came.
    pub stderr: StreamInfo,
    /// Whether the shown standard output is an amended one.
    pub stdout_amended: bool,
    /// Whether the shown standard error is an amended one.
    pub stderr_amended: bool,
    /// Whether it waits for an instance that is DEACTIVATE. Derived, for INIT alone.
    pub held: bool,
    /// Whether it stays: retention passes it by, and nobody removes it before it is unpinned.
    pub pinned: bool,
    /// Counts the changes other than arriving output, for `ETag`.
    pub version: i64,
}

impl Task {
    /// What is known of one stream.
    pub fn stream(&self, stream: Stream) -> StreamInfo {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// Whether the text shown for a stream is an amended one.
    pub fn is_amended(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout_amended,
            Stream::Stderr => self.stderr_amended,
        }
    }

    /// How long it ran or has been running, in seconds.
    pub fn duration(&self, now: i64) -> Option<i64> {
        self.start
            .map(|start| (self.end.unwrap_or(now) - start).max(0))
    }
}
