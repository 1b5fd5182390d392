//! Why a task has ended, and all that is known of its end.

use super::State;
use crate::domain::word::word;

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

/// How a task ends: made by its constructors, so that state, outcome, exit code and signal always
/// fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub(super) state: State,
    pub(super) outcome: Outcome,
    pub(super) rc: Option<i64>,
    pub(super) signal: Option<String>,
    pub(super) reason: Option<String>,
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
