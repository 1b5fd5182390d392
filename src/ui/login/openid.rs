//! Logins at an OpenID provider: the way there and back.

use super::{LoginPage, Refused, go_on, local};
use crate::domain::{Error, Kind, Secret};
use crate::http::{self, Caller};
use crate::service::{Answer, Arrived, LoginStep, OpenIdRefusal, Service};
use crate::ui::filters;
use crate::ui::page::{self, Shell};
use askama::Template;
use poem::web::{Data, Query};
use poem::{Request, Response, Result, handler};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

/// The page that whoever comes back sees for a moment, or that says why nothing was confirmed.
#[derive(Template)]
#[template(path = "pages/login_openid.html")]
struct BackPage {
    shell: Shell,
    next: String,
    refused: Option<String>,
}

/// Where to go on, and whether a session is to be confirmed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    next: String,
    confirm: String,
}

/// What the provider sends the browser back with.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Back {
    code: Option<String>,
    state: String,
    error: Option<String>,
    iss: Option<String>,
}

/// The way to the provider. No other site can send a browser on it: who is logged in there would be
/// logged in here without a click.
#[handler]
pub async fn begin(
    request: &Request,
    caller: Option<Caller>,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let next = local(&asked.next);
    let confirm = match (caller, asked.confirm.is_empty()) {
        (Some(Caller(actor)), false) => Some(actor),
        (Some(_), true) => return Ok(page::see(next)),
        (None, _) => None,
    };
    if http::is_from_elsewhere(request) {
        return Ok(page::see(super::path_to(next)));
    }
    match service.begin_openid(next, confirm.as_ref()).await {
        Ok(begun) => {
            let mut response = page::see(begun.url);
            http::set_openid(&mut response, &begun.cookie);
            Ok(response)
        }
        Err(error) if error.kind() == Kind::NotFound => Err(error.into()),
        Err(error) => refuse(
            service,
            OpenIdRefusal {
                error,
                name: String::new(),
                next: next.to_owned(),
                confirms: confirm.is_some(),
            },
        ),
    }
}

/// The way back. The request comes from another site, so that the browser brings no session: what
/// it came for is in the cookie of the way there.
#[handler]
pub async fn callback(
    request: &Request,
    before: Option<Caller>,
    Data(service): Data<&Service>,
    Query(back): Query<Back>,
) -> Result<Response> {
    let answer = Answer {
        code: back.code.map(Secret::new),
        state: Secret::new(back.state),
        error: back.error,
        issuer: back.iss,
    };
    let cookie = http::openid_token(request);
    let client = (http::peer(request), http::agent(request));
    let mut response = match service
        .finish_openid(cookie.as_ref(), &answer, client)
        .await
    {
        Ok(Arrived { login, next }) => {
            if let (Some(_), Some(Caller(before))) = (&login, before) {
                service.close_session(&before).await?;
            }
            lead_on(login.as_ref(), local(&next))?
        }
        Err(refusal) => refuse(service, refusal)?,
    };
    http::clear_openid(&mut response);
    Ok(response)
}

/// A page that leads on. A redirect would still belong to the navigation that another site has
/// begun, and the browser would not send its new session along (RFC 6265bis section 5.2).
fn lead_on(login: Option<&LoginStep>, next: &str) -> Result<Response> {
    let step = login.map(|step| go_on(step, next));
    let location = step.as_ref().and_then(|it| it.headers().get("location"));
    let location = location.and_then(|it| it.to_str().ok()).unwrap_or(next);
    let mut response = page::html(&BackPage {
        shell: Shell::outside(),
        next: location.to_owned(),
        refused: None,
    })?;
    if let Some(step) = &step {
        for cookie in step.headers().get_all("set-cookie") {
            response.headers_mut().append("set-cookie", cookie.clone());
        }
    }
    Ok(response)
}

fn refuse(service: &Service, refusal: OpenIdRefusal) -> Result<Response> {
    let OpenIdRefusal {
        error,
        name,
        next,
        confirms,
    } = refusal;
    let next = local(&next).to_owned();
    let sentence = sentence(error)?;
    let (error, said) = (sentence.0, sentence.1);
    let status = http::status(error.kind());
    let shell = Shell::outside();
    let mut response = match confirms {
        true => {
            let next = crate::ui::confirm::path_to(&next, false);
            let refused = Some(said);
            page::html_with(
                status,
                &BackPage {
                    shell,
                    next,
                    refused,
                },
            )?
        }
        false => {
            let shown = LoginPage {
                refused: Some(Refused::NotNow(said)),
                ..LoginPage::blank(service, next)
            };
            page::html_with(status, &shown)?
        }
    };
    http::describe(&error, &mut response);
    http::tried(&mut response, &name);
    Ok(response)
}

/// What the page says of an error.
///
/// # Errors
/// The error itself where it is one of ours.
fn sentence(error: Error) -> std::result::Result<(Error, String), Error> {
    match error.kind() {
        Kind::Internal => Err(error),
        _ => {
            let said = error.detail().to_owned();
            Ok((error, said))
        }
    }
}

/// The way to the provider, with the way back.
pub fn path(next: &str, confirm: bool) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("next", next);
    if confirm {
        query.append_pair("confirm", "yes");
    }
    format!("/login/openid?{}", query.finish())
}
