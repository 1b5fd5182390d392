use super::{Action, Actor, Idempotency, IfMatch, Service, TaskUpdate, stopping};
use crate::domain::{Attempt, Error, NewTask, Page, Result, State, Task, TaskFilter, TaskId};
use crate::engine::WaitsFor;
use crate::failpoint;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

impl Service {
    /// How long a page looks through tasks for a text, or for those that a scope holds.
    pub const PATIENCE: Duration = Duration::from_millis(8);

    /// One batch of a list: at most [`Service::BATCH`] rows, also where `page.limit` is higher or
    /// unset. The next one is `page.following(last id)`; fewer rows than asked for are the last.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn tasks(&self, actor: &Actor, filter: &TaskFilter, page: Page) -> Result<Vec<Task>> {
        let (tasks, _) = self.look_for_tasks(actor, filter, page, None).await?;
        Ok(tasks)
    }

    /// The same for a page that has to be there soon: what was found within [`Service::PATIENCE`],
    /// and how far it was looked, where that is not to the end. The next part is
    /// `page.following(how far)`.
    ///
    /// # Errors
    /// As [`Service::tasks`].
    pub async fn tasks_soon(
        &self,
        actor: &Actor,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<(Vec<Task>, Option<TaskId>)> {
        let patience = Some(Self::PATIENCE);
        self.look_for_tasks(actor, filter, page, patience).await
    }

    async fn look_for_tasks(
        &self,
        actor: &Actor,
        filter: &TaskFilter,
        page: Page,
        patience: Option<Duration>,
    ) -> Result<(Vec<Task>, Option<TaskId>)> {
        actor.require(Action::ReadTasks)?;
        filter.validate()?;
        let page = page.at_most(Self::BATCH);
        let found = self
            .inner
            .store
            .tasks(filter, actor.scopes(), page, patience);
        let (tasks, reached) = found.await?;
        let tasks = tasks.into_iter().map(|task| self.explained(task)).collect();
        Ok((tasks, reached))
    }

    /// One task, with the reason of what waits.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn task(&self, actor: &Actor, id: TaskId) -> Result<Task> {
        actor.require(Action::ReadTasks)?;
        let found = self.inner.store.seen_task(id, actor.scopes().clone());
        let task = found.await?.ok_or_else(no_such_task)?;
        Ok(self.explained(task))
    }

    /// Posts a task: when this returns it is on disk and will run. The same [`Idempotency`] again
    /// gives the task as it now is and starts nothing.
    ///
    /// # Errors
    /// `Invalid`; `NotFound` for an unknown instance; `Conflict` where it is DEACTIVATE;
    /// `KeyReused`; `Unavailable` where the disk is short, or the server stops.
    pub async fn create_task(
        &self,
        actor: &Actor,
        new: NewTask,
        key: Option<Idempotency>,
    ) -> Result<Task> {
        actor.require(Action::RunTasks)?;
        let engine = self.engine()?;
        if engine.is_stopping() {
            return Err(stopping());
        }
        new.validate()?;
        self.check_secrets(actor, &new).await?;
        self.inner.store.check_room()?;
        let (task, is_new) = self
            .inner
            .store
            .create_task(
                new,
                key,
                self.inner.rules.approvals.clone(),
                actor.by(self.now()),
            )
            .await?;
        if is_new {
            failpoint::pass("post.committed");
            engine.wake(task.instance);
            engine.approvals_changed();
        }
        Ok(self.explained(task))
    }

    /// Posts a task again, as it is.
    ///
    /// # Errors
    /// As [`Service::create_task`]; `NotFound` where there is no such task.
    pub async fn rerun_task(
        &self,
        actor: &Actor,
        id: TaskId,
        key: Option<Idempotency>,
    ) -> Result<Task> {
        let task = self.task(actor, id).await?;
        let stdin = self.inner.store.task_stdin(id).await?;
        self.create_task(actor, NewTask::again(task, stdin), key)
            .await
    }

    /// The runs of a task that could not begin, before the last one.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn attempts(&self, actor: &Actor, id: TaskId) -> Result<Vec<Attempt>> {
        self.task(actor, id).await?;
        self.inner.store.attempts(id).await
    }

    /// Cancels or amends a task.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`, `Conflict` where its state forbids the change.
    pub async fn update_task(
        &self,
        actor: &Actor,
        id: TaskId,
        update: TaskUpdate,
        if_match: Option<IfMatch>,
    ) -> Result<Task> {
        actor.require_task(&self.task(actor, id).await?)?;
        update.amend.validate()?;
        let cancels = update.state == Some(State::Abort);
        let task = self
            .inner
            .store
            .update_task(id, update, if_match, actor.by(self.now()))
            .await?
            .ok_or_else(no_such_task)?;
        if let Some(engine) = &self.inner.engine {
            if cancels {
                failpoint::pass("cancel.asked");
                engine.cancel(id);
            }
            engine.changed(id);
        }
        Ok(self.explained(task))
    }

    /// Removes a task with its output; what the audit trail says of it stays.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`, `Conflict` until it has ended.
    pub async fn remove_task(
        &self,
        actor: &Actor,
        id: TaskId,
        if_match: Option<IfMatch>,
    ) -> Result<()> {
        actor.require_task(&self.task(actor, id).await?)?;
        let by = actor.by(self.now());
        if !self.inner.store.remove_task(id, if_match, by).await? {
            return Err(no_such_task());
        }
        if let Some(engine) = &self.inner.engine {
            engine.changed(id);
        }
        Ok(())
    }

    /// The task when it has ended, or as it is when the time is over or the server stops.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn wait_for_task(
        &self,
        actor: &Actor,
        id: TaskId,
        at_most: Duration,
    ) -> Result<Task> {
        let until = Instant::now() + at_most;
        let mut watch = self.engine()?.watch(id);
        let mut hold = self.hold(actor);
        loop {
            let task = self.task(actor, id).await?;
            let over = task.state.has_ended() || Instant::now() >= until;
            if over
                || !matches!(
                    hold.keep(timeout_at(until, watch.changed())).await?,
                    Ok(true)
                )
            {
                // The last word of a time that is over, too, is what is.
                return if over {
                    Ok(task)
                } else {
                    self.task(actor, id).await
                };
            }
        }
    }

    /// Says of a waiting task what it waits for: known only now, so it is not stored.
    pub(super) fn explained(&self, mut task: Task) -> Task {
        if task.state != State::Init {
            return task;
        }
        let instance = task.instance;
        if let Some(approval) = task.approval.as_ref().filter(|_| task.waits_for_approval()) {
            let left = (approval.expires - self.now()).max(0);
            task.reason = Some(format!(
                "Waits for the approval of a second person, for {left} s more."
            ));
            return task;
        }
        let delayed = task.not_before.filter(|at| *at > self.now());
        task.reason = Some(if let Some(at) = delayed {
            format!(
                "Attempt {} of {} could not begin: {} The next one is in {} s.",
                task.attempt,
                u64::from(task.retries) + 1,
                task.reason.unwrap_or_default(),
                at - self.now()
            )
        } else if task.held {
            format!("Waits until instance {instance} is ACTIVE again.")
        } else {
            match self
                .inner
                .engine
                .as_ref()
                .map(|engine| engine.waits_for(instance))
            {
                Some(WaitsFor::Instance(taken, of)) => {
                    format!(
                        "Waits for a free place on instance {instance}: {taken} of {of} are taken."
                    )
                }
                Some(WaitsFor::Server(of)) => {
                    format!("Waits for a free place on the server: all {of} are taken.")
                }
                Some(WaitsFor::Turn) => "Waits for its turn.".into(),
                Some(WaitsFor::Restart) | None => "Waits for the server to start again.".into(),
            }
        });
        task
    }
}

pub(super) fn no_such_task() -> Error {
    Error::not_found("There is no such task.")
}
