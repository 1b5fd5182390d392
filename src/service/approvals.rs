use super::tasks::no_such_task;
use super::{Action, Actor, IfMatch, Service};
use crate::domain::{ApprovalVerdict, Error, Instance, Result, Task, TaskId, approval_comment};

impl Service {
    /// A task that needs, or needed, a second person.
    ///
    /// # Errors
    /// `NotFound`, also where it needs nobody.
    pub async fn approval(&self, actor: &Actor, id: TaskId) -> Result<Task> {
        let task = self.task(actor, id).await?;
        match task.approval {
            Some(_) => Ok(task),
            None => Err(Error::not_found("This task needs no approval.")),
        }
    }

    /// Decides whether a task runs that waits for a second person.
    ///
    /// # Errors
    /// `Invalid`; `NotFound`; `Unconfirmed`; `Forbidden` for one's own, and for who may not;
    /// `PreconditionFailed`; `Conflict` where it does not wait, or is for another machine by now.
    pub async fn decide_approval(
        &self,
        actor: &Actor,
        id: TaskId,
        verdict: ApprovalVerdict,
        if_match: Option<IfMatch>,
    ) -> Result<Task> {
        self.task(actor, id).await?;
        let now = self.now();
        actor.require_confirmed(Action::ApproveTasks, now)?;
        approval_comment(&verdict.comment).map_err(|message| Error::field("comment", message))?;
        let by = actor.by(now);
        let decided = self.inner.store.decide_approval(id, verdict, if_match, by);
        let task = decided.await?.ok_or_else(no_such_task)?;
        if let Some(engine) = &self.inner.engine {
            engine.wake(task.instance);
            engine.changed(id);
        }
        Ok(self.explained(task))
    }

    /// Whether a task of this user on this instance waits for a second person.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn asks_for_approval(&self, user: &str, instance: &Instance) -> Result<bool> {
        let rules = self.inner.rules.approvals.clone();
        let user = user.to_owned();
        self.inner
            .store
            .asks_for_approval(rules, user, instance.id)
            .await
    }

    /// Whether somebody may decide about a task now, for what the pages offer.
    pub fn may_decide(&self, actor: &Actor, task: &Task) -> bool {
        task.waits_for_approval() && !actor.owns(task) && actor.may(Action::ApproveTasks)
    }
}
