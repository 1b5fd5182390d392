//! What can be changed of a task that was posted: its end, and how its result is shown.

use super::State;
use crate::domain::{Result, validate};

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
    /// [`crate::domain::Kind::Invalid`], naming each field that is wrong.
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
    /// Whether it stays from now on; in every state.
    pub pinned: Option<bool>,
    /// Changes of the result, taken where they change nothing, and after the end.
    pub amend: Amendment,
}
