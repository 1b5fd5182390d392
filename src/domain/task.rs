use super::word::word;
use super::{
    Approval, ApprovalState, Error, InstanceId, Launch, Mode, RemoteProcess, Result, RunId, UserId,
    validate,
};
use std::fmt;

/// The id of a task: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub i64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted, not begun.
    Init,
    /// Running.
    Current,
    /// The script exited by itself, whatever its exit code.
    Done,
    /// Anything else.
    Abort,
}

word! {
    State {
        Init => "INIT",
        Current => "CURRENT",
        Done => "DONE",
        Abort => "ABORT",
    }
}

impl State {
    /// Whether nothing will change any more by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Abort)
    }
}

/// Why a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The script exited by itself.
    Exited,
    /// A signal ended it.
    Signalled,
    /// Its deadline passed.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// The server stopped.
    Interrupted,
    /// The machine was not reached.
    Unreachable,
    /// The machine's host key is not the right one.
    HostKeyRefused,
    /// The machine took none of our keys.
    AuthFailed,
    /// The machine did not start the script.
    StartFailed,
    /// What became of it is not known.
    Lost,
}

word! {
    Outcome {
        Exited => "exited",
        Signalled => "signalled",
        TimedOut => "timed_out",
        Cancelled => "cancelled",
        Interrupted => "interrupted",
        Unreachable => "unreachable",
        HostKeyRefused => "host_key_refused",
        AuthFailed => "auth_failed",
        StartFailed => "start_failed",
        Lost => "lost",
    }
}

/// One of the two streams that a script writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The part of a stream that was left out, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins: so many bytes are kept before it.
    pub offset: u64,
    /// How much is missing.
    pub length: u64,
}

/// What is known of a stream without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// All bytes that came.
    pub bytes: u64,
    /// What of them was left out.
    pub gap: Option<Gap>,
}

impl StreamInfo {
    /// How many bytes are kept.
    pub fn kept(&self) -> u64 {
        self.bytes - self.gap.map_or(0, |g| g.length)
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
    /// Counts the changes other than arriving output, for `ETag`.
    pub version: i64,
}

/// How a task ends: made by its constructors, so that state, outcome, exit code and signal always
/// fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    state: State,
    outcome: Outcome,
    rc: Option<i64>,
    signal: Option<String>,
    reason: Option<String>,
}

impl Ending {
    /// The script exited by itself.
    pub fn exited(rc: u32) -> Self {
        Self {
            state: State::Done,
            outcome: Outcome::Exited,
            rc: Some(i64::from(rc)),
            signal: None,
            reason: None,
        }
    }

    /// A signal ended the script.
    pub fn signalled(signal: impl Into<String>) -> Self {
        let signal = signal.into();
        Self {
            reason: Some(format!("Signal {signal} ended the script on the instance.")),
            signal: Some(signal),
            ..Self::aborted(Outcome::Signalled, "")
        }
    }

    /// Anything else, with the sentence that says what happened and what to do.
    pub fn aborted(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            state: State::Abort,
            outcome,
            rc: None,
            signal: None,
            reason: Some(reason.into()),
        }
    }

    /// Adds a sentence for a person, in the place of what stands there.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds the signal that the script is known to have died of.
    #[must_use]
    pub fn with_signal(mut self, signal: Option<String>) -> Self {
        self.signal = signal;
        self
    }

    /// Why.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The sentence for a person, if there is one.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The signal that the script died of, if it is known.
    pub fn signal(&self) -> Option<&str> {
        self.signal.as_deref()
    }

    /// The exit code, if there is one.
    pub fn rc(&self) -> Option<i64> {
        self.rc
    }
}

impl Task {
    /// INIT to CURRENT: the engine has claimed it.
    ///
    /// # Errors
    /// A conflict where it is not in INIT. The four methods here are the only ones that change a
    /// state.
    pub fn claim(&mut self, run: RunId, now: i64) -> Result<()> {
        match self.state {
            State::Init if self.waits_for_approval() => Err(self.refuses("be started unapproved")),
            State::Init => {
                self.state = State::Current;
                self.start = Some(now);
                self.attempt += 1;
                self.not_before = None;
                self.reason = None;
                self.run = Some(run);
                self.version += 1;
                Ok(())
            }
            State::Current | State::Done | State::Abort => Err(self.refuses("be started")),
        }
    }

    /// CURRENT to INIT: nothing was sent to the machine, and it is to be tried again. Gives the
    /// attempt that was.
    ///
    /// # Errors
    /// A conflict where it is not CURRENT.
    pub fn retry(&mut self, ending: Ending, now: i64) -> Result<Attempt> {
        match self.state {
            State::Current => {}
            State::Init | State::Done | State::Abort => return Err(self.refuses("be tried again")),
        }
        let start = self.start.take().unwrap_or(now);
        self.state = State::Init;
        self.run = None;
        self.not_before = Some(now + i64::from(self.retry_delay));
        self.reason.clone_from(&ending.reason);
        self.version += 1;
        Ok(Attempt {
            number: self.attempt,
            start,
            end: now.max(start),
            outcome: ending.outcome,
            reason: ending.reason,
        })
    }

    /// Whether a run that could not begin is tried again.
    pub fn may_retry(&self, ending: &Ending) -> bool {
        ending.outcome == Outcome::Unreachable
            && self.attempt <= self.retries
            && !self.cancel_requested
    }

    /// Somebody asks for its end. In INIT it ends then and there; a running one is told, and goes
    /// on being CURRENT until the machine has answered. Asking again changes nothing.
    ///
    /// # Errors
    /// A conflict where it is DONE.
    pub fn request_cancel(&mut self, now: i64, reason: &str) -> Result<()> {
        match self.state {
            State::Init => {
                self.cancel_requested = true;
                self.finish(Ending::aborted(Outcome::Cancelled, reason), now)
            }
            State::Current => {
                if !self.cancel_requested {
                    self.cancel_requested = true;
                    self.version += 1;
                }
                Ok(())
            }
            State::Abort => Ok(()),
            State::Done => Err(self.refuses("be cancelled")),
        }
    }

    /// It has ended. Its end is never before its start, whatever the clock did meanwhile.
    ///
    /// # Errors
    /// A conflict where it has ended before.
    pub fn finish(&mut self, ending: Ending, now: i64) -> Result<()> {
        let reaches_from_init = ending.state == State::Abort;
        match self.state {
            State::Current => {}
            State::Init if reaches_from_init => {}
            State::Init | State::Done | State::Abort => return Err(self.refuses("end")),
        }
        if let Some(approval) = &mut self.approval
            && approval.state == ApprovalState::Waiting
        {
            approval.state = ApprovalState::Withdrawn;
        }
        self.state = ending.state;
        self.outcome = Some(ending.outcome);
        self.rc = ending.rc;
        self.signal = ending.signal;
        self.reason = ending.reason;
        self.end = Some(self.start.map_or(now, |start| now.max(start)));
        self.version += 1;
        Ok(())
    }

    /// Whether it waits for a second person.
    pub fn waits_for_approval(&self) -> bool {
        let waits = |it: &Approval| it.state == ApprovalState::Waiting;
        self.state == State::Init && self.approval.as_ref().is_some_and(waits)
    }

    /// # Errors
    /// A conflict where nothing waits for a decision.
    pub fn require_undecided(&self) -> Result<()> {
        match self.waits_for_approval() {
            true => Ok(()),
            false => Err(Error::conflict(format!(
                "Task {} does not wait for an approval.",
                self.id
            ))),
        }
    }

    /// Somebody has decided whether it runs, or nobody did in time. What may run waits for its turn
    /// from now on; anything else ends with this reason.
    ///
    /// # Errors
    /// A conflict where nothing waits for a decision.
    pub fn decide(&mut self, state: ApprovalState, reason: &str, now: i64) -> Result<()> {
        self.require_undecided()?;
        if let Some(approval) = &mut self.approval {
            approval.state = state;
            approval.at = Some(now);
        }
        self.not_before = None;
        match state {
            ApprovalState::Approved => {
                self.version += 1;
                Ok(())
            }
            ApprovalState::Waiting
            | ApprovalState::Refused
            | ApprovalState::Expired
            | ApprovalState::Withdrawn => {
                self.finish(Ending::aborted(Outcome::Cancelled, reason), now)
            }
        }
    }

    fn refuses(&self, what: &str) -> Error {
        Error::conflict(format!(
            "Task {} is {} and cannot {what}.",
            self.id,
            self.state.as_str()
        ))
    }

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

/// A run that could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it was begun, Unix seconds.
    pub start: i64,
    /// When it was over.
    pub end: i64,
    /// Why.
    pub outcome: Outcome,
    /// The sentence for a person.
    pub reason: Option<String>,
}

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
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each field that is wrong.
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

/// A change of the result of a task that has ended: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub tag: Option<String>,
    /// A new exit code; `Some(None)` takes it away.
    pub rc: Option<Option<i64>>,
    /// What to show as standard output from now on.
    pub stdout: Option<String>,
    /// What to show as standard error from now on.
    pub stderr: Option<String>,
}

impl Amendment {
    /// Checks the fields that have rules.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = validate::Invalid::default();
        if let Some(name) = &self.name {
            wrong.check("name", validate::name(name));
        }
        if let Some(tag) = &self.tag {
            wrong.check("tag", validate::tag(tag));
        }
        wrong.finish()
    }
}

/// A partial update of a task: what is unset stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskUpdate {
    /// `ABORT` asks for a cancel; the state that it has already changes nothing; every other one
    /// is a conflict.
    pub state: Option<State>,
    /// Changes of the result, taken where they change nothing, and after the end.
    pub amend: Amendment,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: State) -> Task {
        Task {
            id: TaskId(1),
            name: "n".into(),
            tag: String::new(),
            instance: InstanceId(1),
            script: "true".into(),
            user: "u".into(),
            state,
            outcome: None,
            reason: None,
            rc: None,
            signal: None,
            created: 10,
            created_by: "admin".into(),
            owner: None,
            start: None,
            end: None,
            timeout: None,
            mode: Mode::Attached,
            launch: Launch::default(),
            secrets: Vec::new(),
            approval: None,
            masked: 0,
            stdin_bytes: 0,
            retries: 1,
            retry_delay: 5,
            attempt: 0,
            not_before: None,
            run: None,
            process: None,
            cancel_requested: false,
            amended: false,
            stdout: StreamInfo::default(),
            stderr: StreamInfo::default(),
            stdout_amended: false,
            stderr_amended: false,
            held: false,
            version: 1,
        }
    }

    #[test]
    fn only_a_waiting_task_is_claimed_and_only_once() {
        let mut it = task(State::Init);
        it.claim(RunId("r".into()), 20).unwrap();
        assert_eq!((it.state, it.start), (State::Current, Some(20)));
        for state in [State::Current, State::Done, State::Abort] {
            assert!(task(state).claim(RunId("r".into()), 20).is_err());
        }
    }

    #[test]
    fn a_waiting_task_is_cancelled_at_once_and_a_running_one_is_told() {
        let mut waiting = task(State::Init);
        waiting.request_cancel(20, "because").unwrap();
        assert_eq!(
            (waiting.state, waiting.outcome, waiting.start, waiting.end),
            (State::Abort, Some(Outcome::Cancelled), None, Some(20))
        );
        let mut running = task(State::Current);
        running.request_cancel(20, "because").unwrap();
        let version = running.version;
        running.request_cancel(21, "because").unwrap();
        assert!(
            running.cancel_requested
                && running.state == State::Current
                && running.version == version
        );
        assert!(task(State::Done).request_cancel(20, "because").is_err());
        assert!(task(State::Abort).request_cancel(20, "because").is_ok());
    }

    #[test]
    fn only_what_was_not_reached_is_tried_again_and_only_so_often() {
        let unreachable = || Ending::aborted(Outcome::Unreachable, "dead");
        let mut it = task(State::Init);
        it.claim(RunId("a".into()), 20).unwrap();
        assert!(it.may_retry(&unreachable()));
        assert!(!it.may_retry(&Ending::aborted(Outcome::Lost, "lost")));
        let attempt = it.retry(unreachable(), 22).unwrap();
        assert_eq!((attempt.number, attempt.start, attempt.end), (1, 20, 22));
        assert_eq!(
            (it.state, it.start, it.not_before, it.run.clone()),
            (State::Init, None, Some(27), None)
        );
        it.claim(RunId("b".into()), 27).unwrap();
        assert!(!it.may_retry(&unreachable()), "one retry was asked for");
    }

    #[test]
    fn an_end_comes_once_and_never_before_the_start() {
        let mut it = task(State::Init);
        assert!(
            it.finish(Ending::exited(0), 20).is_err(),
            "what never began cannot be DONE"
        );
        it.claim(RunId("r".into()), 20).unwrap();
        it.finish(Ending::exited(3), 5).unwrap();
        assert_eq!((it.state, it.rc, it.end), (State::Done, Some(3), Some(20)));
        assert!(it.finish(Ending::exited(0), 30).is_err());
    }
}
