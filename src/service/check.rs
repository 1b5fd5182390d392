use super::instances::no_such_instance;
use super::{Action, Actor, Service};
use crate::domain::{Check, CheckRequest, InstanceId, Result};

impl Service {
    /// Takes each step that a task on the instance would take, and tells what was found. A first
    /// host key is recorded as for a task.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `TooMany`, `Unavailable`.
    pub async fn check_instance(
        &self,
        actor: &Actor,
        id: InstanceId,
        request: CheckRequest,
    ) -> Result<Check> {
        actor.require(Action::RunTasks)?;
        request.validate()?;
        let engine = self.engine()?;
        if self.inner.store.instance(id).await?.is_none() {
            return Err(no_such_instance());
        }
        engine.check(id, &request).await
    }
}
