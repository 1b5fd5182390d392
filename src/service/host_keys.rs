use super::instances::no_such_instance;
use super::{Action, Actor, IfMatch, Service};
use crate::domain::{self, Error, HostKeyDecision, HostKeyRecord, InstanceId, Result};

impl Service {
    /// All that is known of the host key of an instance.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn host_key(&self, actor: &Actor, id: InstanceId) -> Result<HostKeyRecord> {
        self.instance(actor, id).await?;
        self.inner
            .store
            .host_key(id)
            .await?
            .ok_or_else(no_such_instance)
    }

    /// Approves, replaces or revokes the host key with this fingerprint, and notes it in the audit
    /// trail. What runs there runs on; whatever comes next is judged anew, also where a connection
    /// waits for its next use.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`; `Conflict` where it is not the key that the
    /// machine has shown, or what is on record does not allow the decision.
    pub async fn decide_host_key(
        &self,
        actor: &Actor,
        id: InstanceId,
        (decision, fingerprint): (HostKeyDecision, String),
        if_match: Option<IfMatch>,
    ) -> Result<HostKeyRecord> {
        self.instance(actor, id).await?;
        actor.require_confirmed(Action::ReviewHostKeys, self.now())?;
        domain::fingerprint(&fingerprint)
            .map_err(|message| Error::field("fingerprint", message))?;
        let by = actor.by(self.now());
        let decided = self
            .inner
            .store
            .decide_host_key(id, (decision, fingerprint), if_match, by)
            .await?
            .ok_or_else(no_such_instance)?;
        if let Some(engine) = &self.inner.engine {
            engine.forget_connections(&decided.instance);
        }
        Ok(decided)
    }
}
