//! The page that asks again who somebody is, before something dangerous.

use super::login::local;
use super::page::{self, Section, Shell};
use crate::domain::{Error, Kind, Result as Outcome, Secret};
use crate::http::{self, Caller, Form};
use crate::service::{Actor, Proof, Service};
use crate::ui::filters;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Request, Response, Result, handler};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct ConfirmPage {
    shell: Shell,
    next: String,
    /// Whether a form was sent that has to be sent again.
    sent: bool,
    by_password: bool,
    by_code: bool,
    /// The OpenID provider, for who has no password.
    provider: Option<String>,
    refused: Option<String>,
}

/// Where to go on, and whether a form was sent.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    next: String,
    sent: String,
    password: String,
    code: String,
}

/// The page, with the way back.
pub fn path_to(here: &str, sent: bool) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("next", here);
    if sent {
        query.append_pair("sent", "yes");
    }
    format!("/confirm?{}", query.finish())
}

impl ConfirmPage {
    async fn make(
        service: &Service,
        actor: &Actor,
        asked: &Asked,
        refused: Option<String>,
    ) -> Outcome<Self> {
        let user = service.own_user(actor).await?;
        let provider = service.openid_name();
        let provider = provider.filter(|_| user.password_hash.is_none() && user.subject.is_some());
        Ok(Self {
            shell: Shell::of(actor, Section::Account),
            next: local(&asked.next).to_owned(),
            sent: !asked.sent.is_empty(),
            by_password: user.password_hash.is_some(),
            by_code: user.second_factor,
            provider: provider.map(str::to_owned),
            refused,
        })
    }
}

#[handler]
pub async fn form(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    page::html(&ConfirmPage::make(service, &actor, &asked, None).await?)
}

#[handler]
pub async fn confirm(
    request: &Request,
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(asked): Form<Asked>,
) -> Result<Response> {
    let proof = Proof {
        password: Secret::new(asked.password.as_str()),
        code: asked.code.trim().to_owned(),
    };
    let error = match service.confirm(&actor, &proof, http::peer(request)).await {
        Ok(()) => return Ok(page::see(local(&asked.next))),
        Err(error) => error,
    };
    let refused = refusal(&error).ok_or(error)?;
    let status = http::status(refused.0);
    let page = ConfirmPage::make(service, &actor, &asked, Some(refused.1)).await?;
    let mut response = page::html_with(status, &page)?;
    http::tried(&mut response, actor.name());
    Ok(response)
}

/// What the form says of an error. Whoever is logged in is never 401 here: that would lead them
/// to the login.
fn refusal(error: &Error) -> Option<(Kind, String)> {
    match error.kind() {
        Kind::Unauthenticated => Some((Kind::Invalid, error.detail().to_owned())),
        Kind::TooMany | Kind::Unavailable | Kind::Conflict => {
            Some((error.kind(), error.detail().to_owned()))
        }
        _ => None,
    }
}
