use super::{Action, Actor, Service};
use crate::domain::{Check, CheckRequest, Error, InstanceId, Kind, Result};
use serde_json::json;

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
        let instance = self.instance(actor, id).await?;
        if !actor.scopes().allow(&request.user, (&instance).into()) {
            return Err(Error::new(
                Kind::Forbidden,
                "Your scope does not let you log in there as this user.",
            ));
        }
        let told = (
            format!("instance/{id}"),
            json!({"address": instance.address(), "user": request.user}),
        );
        self.put_on_record(actor, "instance.check", told).await?;
        engine.check(id, &request).await
    }
}
