//! Users, for who manages them: the list, one user, and what can be done to one.

mod form;
mod list;

pub use form::{blank, create, detail, save};
pub use list::index;

use super::form::{Empty, if_version};
use super::page;
use crate::domain::{Error, Result as Outcome, Secret, SessionId, TokenId, UserId};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::Service;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;

/// The fields of the small forms on a user's page.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Small {
    id: i64,
    version: String,
    password: String,
}

#[handler]
pub async fn set_password(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(typed): Form<Small>,
) -> Result<Response> {
    let user = id_of(&id)?;
    let password = Secret::new(typed.password);
    match service.set_password(&actor, user, &password).await {
        Ok(()) => Ok(page::see(format!("/users/{user}"))),
        Err(error) => form::show_again(service, (&actor, &base), user, error).await,
    }
}

#[handler]
pub async fn remove_second_factor(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    let user = id_of(&id)?;
    service.remove_second_factor_of(&actor, user).await?;
    Ok(page::see(format!("/users/{user}")))
}

#[handler]
pub async fn end_session(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(which): Form<Small>,
) -> Result<Response> {
    let user = id_of(&id)?;
    service.end_session(&actor, SessionId(which.id)).await?;
    Ok(page::see(format!("/users/{user}#sessions")))
}

#[handler]
pub async fn revoke_token(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(which): Form<Small>,
) -> Result<Response> {
    let user = id_of(&id)?;
    service.revoke_token(&actor, TokenId(which.id)).await?;
    Ok(page::see(format!("/users/{user}#tokens")))
}

#[handler]
pub async fn delete(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(typed): Form<Small>,
) -> Result<Response> {
    let seen = if_version(&typed.version);
    service.remove_user(&actor, id_of(&id)?, Some(seen)).await?;
    Ok(page::see("/users"))
}

/// The id in a path: what is no id is no user.
fn id_of(path: &str) -> Outcome<UserId> {
    path.parse()
        .map(UserId)
        .map_err(|_| Error::not_found("There is no such user."))
}
