use super::{Actor, Idempotency, IfMatch, Service, TaskUpdate};
use crate::domain::{NewTask, Page, Result, Task, TaskFilter, TaskId};
use std::time::Duration;

impl Service {
    /// One batch of a list: at most [`Service::BATCH`] rows, also where `page.limit` is higher or
    /// unset. The next one is `page.following(last id)`; fewer rows than asked for are the last.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn tasks(
        &self,
        _actor: &Actor,
        _filter: &TaskFilter,
        _page: Page,
    ) -> Result<Vec<Task>> {
        unimplemented!()
    }

    /// One task, with the reason of what waits.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn task(&self, _actor: &Actor, _id: TaskId) -> Result<Task> {
        unimplemented!()
    }

    /// Posts a task: when this returns it is on disk and will run. The same [`Idempotency`] again
    /// gives the task as it now is and starts nothing.
    ///
    /// # Errors
    /// `Invalid`; `NotFound` for an unknown instance; `Conflict` where it is DEACTIVATE;
    /// `KeyReused`; `Unavailable` where the disk is short, or the server stops.
    pub async fn create_task(
        &self,
        _actor: &Actor,
        _new: NewTask,
        _key: Option<Idempotency>,
    ) -> Result<Task> {
        unimplemented!()
    }

    /// Cancels or amends a task.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`, `Conflict` where its state forbids the change.
    pub async fn update_task(
        &self,
        _actor: &Actor,
        _id: TaskId,
        _update: TaskUpdate,
        _if_match: Option<IfMatch>,
    ) -> Result<Task> {
        unimplemented!()
    }

    /// Removes a task with its output; the record of its amendments stays.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`, `Conflict` until it has ended.
    pub async fn remove_task(
        &self,
        _actor: &Actor,
        _id: TaskId,
        _if_match: Option<IfMatch>,
    ) -> Result<()> {
        unimplemented!()
    }

    /// The task when it has ended, or as it is when the time is over or the server stops.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn wait_for_task(
        &self,
        _actor: &Actor,
        _id: TaskId,
        _at_most: Duration,
    ) -> Result<Task> {
        unimplemented!()
    }
}
