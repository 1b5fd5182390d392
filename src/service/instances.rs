use super::{Action, Actor, Idempotency, IfMatch, Service};
use crate::domain::{
    Error, Health, Instance, InstanceChange, InstanceFilter, InstanceId, NewInstance, Page, Result,
};
use crate::store::ByLaw;

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
        let page = page.at_most(Self::BATCH);
        let instances = self
            .inner
            .store
            .instances(filter, actor.scopes(), page)
            .await?;
        Ok(instances
            .into_iter()
            .map(|it| self.up_to_date(it))
            .collect())
    }

    /// One instance.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn instance(&self, actor: &Actor, id: InstanceId) -> Result<Instance> {
        actor.require(Action::ReadInstances)?;
        let found = self.inner.store.seen_instance(id, actor.scopes().clone());
        let instance = found.await?;
        instance
            .map(|it| self.up_to_date(it))
            .ok_or_else(no_such_instance)
    }

    /// Declares an instance. The same [`Idempotency`] again gives the instance as it now is.
    ///
    /// # Errors
    /// `Invalid`, `KeyReused`, `Unavailable`; `NotFound` for a jump that is not there; `Conflict`
    /// where the way would be too long.
    pub async fn create_instance(
        &self,
        actor: &Actor,
        new: NewInstance,
        key: Option<Idempotency>,
    ) -> Result<Instance> {
        actor.require(Action::ManageInstances)?;
        new.validate()?;
        let made = self
            .inner
            .store
            .create_instance(new, key, actor.by(self.now()));
        Ok(self.up_to_date(made.await?))
    }

    /// Changes an instance; a new `ip` or `port` forgets its host key, what was revoked, and its
    /// health.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`; `Conflict` for a way that comes back or is too
    /// long.
    pub async fn change_instance(
        &self,
        actor: &Actor,
        id: InstanceId,
        change: InstanceChange,
        if_match: Option<IfMatch>,
    ) -> Result<Instance> {
        actor.require(Action::ManageInstances)?;
        let moves = change.ip.is_some() || change.port.is_some();
        let by = self.by_law(actor);
        let changed = self
            .inner
            .store
            .change_instance(id, change, if_match, by)
            .await?
            .ok_or_else(no_such_instance)?;
        if let Some(engine) = &self.inner.engine {
            if moves && changed.health == Health::default() {
                engine.forget_health(id);
            }
            // It may be ACTIVE again, and tasks may wait for that.
            engine.wake(id);
        }
        Ok(self.up_to_date(changed))
    }

    /// Removes an instance; its tasks stay.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`; `Conflict` while a task there has not ended, or others are
    /// reached through it.
    pub async fn remove_instance(
        &self,
        actor: &Actor,
        id: InstanceId,
        if_match: Option<IfMatch>,
    ) -> Result<()> {
        actor.require(Action::ManageInstances)?;
        let by = self.by_law(actor);
        if self.inner.store.remove_instance(id, if_match, by).await? {
            Ok(())
        } else {
            Err(no_such_instance())
        }
    }

    fn by_law(&self, actor: &Actor) -> ByLaw {
        let keeps = !actor.may(Action::WaiveApprovals);
        ByLaw {
            by: actor.by(self.now()),
            keeps: keeps.then(|| self.inner.rules.approvals.clone()),
        }
    }

    /// With what was heard of it and is not on disk yet.
    pub(super) fn up_to_date(&self, mut instance: Instance) -> Instance {
        let engine = self.inner.engine.as_ref();
        if let Some(news) = engine.and_then(|engine| engine.health(instance.id)) {
            instance.health = news.over(instance.health);
        }
        instance
    }
}

pub(super) fn no_such_instance() -> Error {
    Error::not_found("There is no such instance.")
}
