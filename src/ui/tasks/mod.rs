//! Tasks: the list, one task, the form, and what can be done to one.

mod amend;
mod approval;
mod bulk;
mod diff;
mod form;
mod how;
mod list;
mod pick;
mod post;
mod review;
mod secrets;
mod show;

pub use amend::{form as amendable, save as save_amended};
pub use approval::decide;
pub use bulk::{ask as ask_bulk, carry_out as carry_out_bulk};
pub use diff::compare;
pub use form::{blank, create};
pub use list::index;
pub use show::{cancel, delete, detail, rerun};

use crate::domain::{
    Clock as _, Error, Instance, InstanceId, Kind, Result, State, SystemClock, Task, TaskId,
};
use crate::service::{Actor, Service};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A task as a row of a list.
pub struct Row {
    /// The task; its script is not shown.
    pub task: Task,
    /// Where it runs; none where that was removed.
    pub instance: Option<Instance>,
    /// Its state at a glance.
    pub look: Look,
    /// Seconds that it ran, or has been running.
    pub duration: Option<i64>,
}

impl Row {
    fn of(task: Task, instance: Option<Instance>) -> Self {
        Self {
            instance,
            look: Look::of(&task),
            duration: task.duration(SystemClock.now()),
            task,
        }
    }
}

/// A task's state at a glance. Word, shape and colour are the template's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It waits.
    Waiting,
    /// It waits for a second person.
    Unapproved,
    /// It waits for an instance that takes no tasks.
    Held,
    /// It runs.
    Running,
    /// It runs, and somebody asked for its end.
    Stopping,
    /// It exited with 0.
    Succeeded,
    /// It exited with something else.
    Failed(i64),
    /// Anything else.
    Aborted,
}

impl Look {
    /// The look of a task.
    pub fn of(task: &Task) -> Self {
        match task.state {
            State::Init if task.waits_for_approval() => Self::Unapproved,
            State::Init if task.held => Self::Held,
            State::Init => Self::Waiting,
            State::Current if task.cancel_requested => Self::Stopping,
            State::Current => Self::Running,
            State::Done => match task.rc {
                Some(0) | None => Self::Succeeded,
                Some(rc) => Self::Failed(rc),
            },
            State::Abort => Self::Aborted,
        }
    }
}

/// Puts each task beside the instance that it runs on. Each instance is looked up once.
///
/// # Errors
/// `Unavailable` where the store does not answer.
pub async fn rows(service: &Service, actor: &Actor, tasks: Vec<Task>) -> Result<Vec<Row>> {
    let mut known: HashMap<InstanceId, Option<Instance>> = HashMap::new();
    let mut rows = Vec::with_capacity(tasks.len());
    for task in tasks {
        let instance = match known.entry(task.instance) {
            Entry::Occupied(found) => found.get().clone(),
            Entry::Vacant(place) => {
                let found = instance_if_there(service, actor, task.instance).await?;
                place.insert(found).clone()
            }
        };
        rows.push(Row::of(task, instance));
    }
    Ok(rows)
}

/// Puts one task beside its instance.
async fn row(service: &Service, actor: &Actor, task: Task) -> Result<Row> {
    let instance = instance_if_there(service, actor, task.instance).await?;
    Ok(Row::of(task, instance))
}

/// The instance; none where it was removed.
async fn instance_if_there(
    service: &Service,
    actor: &Actor,
    id: InstanceId,
) -> Result<Option<Instance>> {
    match service.instance(actor, id).await {
        Ok(instance) => Ok(Some(instance)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The id in a path: what is no id is no task.
pub fn id_of(path: &str) -> Result<TaskId> {
    path.parse()
        .map(TaskId)
        .map_err(|_| Error::not_found("There is no such task."))
}
