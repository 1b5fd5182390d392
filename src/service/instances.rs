use super::{Action, Actor, Idempotency, IfMatch, Service};
use crate::domain::{
    Error, Instance, InstanceChange, InstanceFilter, InstanceId, NewInstance, Page, Result,
};

impl Service {
    /// One batch of a list: at most [`Service::BATCH`] rows, also where `page.limit` is higher or
    /// unset. The next one is `page.following(last id)`; fewer rows than asked for are the last.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn instances(
        &self,
        actor: &Actor,
        filter: &InstanceFilter,
        page: Page,
    ) -> Result<Vec<Instance>> {
        actor.require(Action::ReadInstances)?;
        filter.validate()?;
        self.inner
            .store
            .instances(filter, page.at_most(Self::BATCH))
            .await
    }

    /// One instance.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn instance(&self, actor: &Actor, id: InstanceId) -> Result<Instance> {
        actor.require(Action::ReadInstances)?;
        self.inner
            .store
            .instance(id)
            .await?
            .ok_or_else(no_such_instance)
    }

    /// Declares an instance. The same [`Idempotency`] again gives the instance as it now is.
    ///
    /// # Errors
    /// `Invalid`, `KeyReused`, `Unavailable`.
    pub async fn create_instance(
        &self,
        actor: &Actor,
        new: NewInstance,
        key: Option<Idempotency>,
    ) -> Result<Instance> {
        actor.require(Action::ManageInstances)?;
        new.validate()?;
        self.inner
            .store
            .create_instance(new, key, actor.key_owner(), self.now())
            .await
    }

    /// Changes an instance; a new `ip` or `port` forgets its host key.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`.
    pub async fn change_instance(
        &self,
        actor: &Actor,
        id: InstanceId,
        change: InstanceChange,
        if_match: Option<IfMatch>,
    ) -> Result<Instance> {
        actor.require(Action::ManageInstances)?;
        let changed = self
            .inner
            .store
            .change_instance(id, change, if_match)
            .await?;
        // It may be ACTIVE again, and tasks may wait for that.
        if let Some(engine) = &self.inner.engine {
            engine.wake(id);
        }
        changed.ok_or_else(no_such_instance)
    }

    /// Removes an instance; its tasks stay.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`, `Conflict` while a task there has not ended.
    pub async fn remove_instance(
        &self,
        actor: &Actor,
        id: InstanceId,
        if_match: Option<IfMatch>,
    ) -> Result<()> {
        actor.require(Action::ManageInstances)?;
        if self.inner.store.remove_instance(id, if_match).await? {
            Ok(())
        } else {
            Err(no_such_instance())
        }
    }
}

fn no_such_instance() -> Error {
    Error::not_found("There is no such instance.")
}
