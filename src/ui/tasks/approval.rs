use super::id_of;
use crate::domain::{ApprovalDecision, ApprovalVerdict, Error};
use crate::http::{Caller, Form};
use crate::service::Service;
use crate::ui::form::{if_version, lines};
use crate::ui::page;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;

/// The form of who decides.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Decision {
    decision: String,
    comment: String,
    version: String,
}

#[handler]
pub async fn decide(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(form): Form<Decision>,
) -> Result<Response> {
    let verdict = ApprovalVerdict {
        decision: ApprovalDecision::parse(&form.decision)
            .ok_or_else(|| Error::field("decision", "must be approve or refuse"))?,
        comment: lines(form.comment.trim()),
    };
    // What was shown is what is decided about.
    let seen = if_version(&form.version);
    let task = service
        .decide_approval(&actor, id_of(&id)?, verdict, Some(seen))
        .await?;
    Ok(page::see(format!("/tasks/{}", task.id)))
}
