//! The state machine of a task: where it stands, and the only ways from one state to another.

use super::{Ending, Outcome, Task};
use crate::domain::word::word;
use crate::domain::{Approval, ApprovalState, Error, Result, RunId};

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

impl Task {
    /// INIT to CURRENT: the engine has claimed it.
    ///
    /// # Errors
    /// A conflict where it is not in INIT. The methods of this file are the only ones that change
    /// a state.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{InstanceId, Launch, Mode, StreamInfo, TaskId};

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
            pinned: false,
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
