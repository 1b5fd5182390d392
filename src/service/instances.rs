use super::{Actor, Idempotency, IfMatch, Service};
use crate::domain::{
    Instance, InstanceChange, InstanceFilter, InstanceId, NewInstance, Page, Result,
};

impl Service {
    /// One batch of a list: at most [`Service::BATCH`] rows, also where `page.limit` is higher or
    /// unset. The next one is `page.following(last id)`; fewer rows than asked for are the last.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn instances(
        &self,
        _actor: &Actor,
        _filter: &InstanceFilter,
        _page: Page,
    ) -> Result<Vec<Instance>> {
        unimplemented!()
    }

    /// One instance.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn instance(&self, _actor: &Actor, _id: InstanceId) -> Result<Instance> {
        unimplemented!()
    }

    /// Declares an instance. The same [`Idempotency`] again gives the instance as it now is.
    ///
    /// # Errors
    /// `Invalid`, `KeyReused`, `Unavailable`.
    pub async fn create_instance(
        &self,
        _actor: &Actor,
        _new: NewInstance,
        _key: Option<Idempotency>,
    ) -> Result<Instance> {
        unimplemented!()
    }

    /// Changes an instance; a new `ip` or `port` forgets its host key.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`.
    pub async fn change_instance(
        &self,
        _actor: &Actor,
        _id: InstanceId,
        _change: InstanceChange,
        _if_match: Option<IfMatch>,
    ) -> Result<Instance> {
        unimplemented!()
    }

    /// Removes an instance; its tasks stay.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`, `Conflict` while a task there has not ended.
    pub async fn remove_instance(
        &self,
        _actor: &Actor,
        _id: InstanceId,
        _if_match: Option<IfMatch>,
    ) -> Result<()> {
        unimplemented!()
    }
}
