use super::id_of;
use crate::domain::{Error, HostKeyDecision};
use crate::http::{Caller, Form};
use crate::service::Service;
use crate::ui::form::if_version;
use crate::ui::page;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;

/// The hidden fields of the forms about a host key.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Decision {
    action: String,
    fingerprint: String,
    version: String,
}

#[handler]
pub async fn decide(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(form): Form<Decision>,
) -> Result<Response> {
    let id = id_of(&id)?;
    let decision = HostKeyDecision::parse(&form.action)
        .ok_or_else(|| Error::field("action", "must be approve, replace or revoke"))?;
    let seen = if_version(&form.version);
    service
        .decide_host_key(&actor, id, (decision, form.fingerprint), Some(seen))
        .await?;
    Ok(page::see(format!("/instances/{id}#host-key")))
}
