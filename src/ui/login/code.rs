//! The second half of a login: a code, or the set-up of what makes codes.

use super::{LoginPage, Refused, local};
use crate::domain::{Error, Kind, Result as Outcome, Secret};
use crate::http::{self, StepForm};
use crate::service::{PendingLogin, Service};
use crate::ui::account::CodesPage;
use crate::ui::filters;
use crate::ui::page::{self, Shell};
use crate::ui::qr::Qr;
use askama::Template;
use poem::http::StatusCode;
use poem::web::{Data, Query};
use poem::{Request, Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/login_code.html")]
struct CodePage {
    shell: Shell,
    name: String,
    next: String,
    refused: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/login_second_factor.html")]
struct EnrolPage {
    shell: Shell,
    name: String,
    next: String,
    qr: Qr,
    secret: String,
    refused: Option<String>,
}

/// What is typed, and where to go on.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    code: String,
    next: String,
}

/// Whatever the login waits for: the code, or a second factor to be set up.
#[handler]
pub async fn form(
    request: &Request,
    Data(service): Data<&Service>,
    Query(asked): Query<Typed>,
) -> Result<Response> {
    show(
        service,
        http::step_token(request).as_ref(),
        &asked.next,
        None,
    )
    .await
}

#[handler]
pub async fn finish(
    request: &Request,
    Data(service): Data<&Service>,
    StepForm { cookie, typed }: StepForm<Typed>,
) -> Result<Response> {
    let client = (http::peer(request), http::agent(request));
    match service.finish_login(&cookie, &typed.code, client).await {
        Ok(token) => {
            let mut response = page::see(local(&typed.next));
            http::clear_step(&mut response);
            http::set_session(&mut response, &token);
            Ok(response)
        }
        Err(error) => show(service, Some(&cookie), &typed.next, Some(error)).await,
    }
}

#[handler]
pub async fn enrol(
    request: &Request,
    Data(service): Data<&Service>,
    StepForm { cookie, typed }: StepForm<Typed>,
) -> Result<Response> {
    let client = (http::peer(request), http::agent(request));
    match service.finish_enrolment(&cookie, &typed.code, client).await {
        Ok((token, codes)) => {
            let mut response = page::html(&CodesPage {
                shell: Shell::outside(),
                codes: codes.iter().map(|it| it.expose().to_owned()).collect(),
                next: local(&typed.next).to_owned(),
                new: true,
            })?;
            http::clear_step(&mut response);
            http::set_session(&mut response, &token);
            Ok(response)
        }
        Err(error) => show(service, Some(&cookie), &typed.next, Some(error)).await,
    }
}

/// The page that the login has come to, with what was wrong; the first one where it is over.
async fn show(
    service: &Service,
    cookie: Option<&Secret>,
    next: &str,
    wrong: Option<Error>,
) -> Result<Response> {
    let pending = match cookie {
        Some(cookie) => service.pending_login(cookie).await?,
        None => None,
    };
    let (Some(pending), next) = (pending, local(next).to_owned()) else {
        return begin_anew(service, wrong, local(next));
    };
    let refused = wrong.as_ref().map(sentence).transpose()?;
    let status = wrong.map_or(StatusCode::OK, |error| http::status(error.kind()));
    match pending {
        PendingLogin {
            name,
            enrolment: Some(told),
            form_token,
        } => page::html_with(
            status,
            &EnrolPage {
                shell: half_way(&form_token),
                name,
                next,
                qr: Qr::of(&told.url)?,
                secret: told.secret.expose().to_owned(),
                refused,
            },
        ),
        PendingLogin {
            name, form_token, ..
        } => {
            let page = CodePage {
                shell: half_way(&form_token),
                name,
                next,
                refused,
            };
            let mut response = page::html_with(status, &page)?;
            http::tried(&mut response, &page.name);
            Ok(response)
        }
    }
}

fn half_way(form_token: &Secret) -> Shell {
    Shell {
        form_token: form_token.expose().to_owned(),
        ..Shell::outside()
    }
}

/// What the page says of an error.
///
/// # Errors
/// The error itself where it is none of the code.
fn sentence(error: &Error) -> Outcome<String> {
    match error.kind() {
        Kind::Unauthenticated | Kind::TooMany | Kind::Conflict | Kind::Unavailable => {
            Ok(error.detail().to_owned())
        }
        Kind::Invalid => Ok(
            "The code is not the one that the authenticator shows now. Look \
                             whether its clock is right."
                .to_owned(),
        ),
        kind => Err(Error::new(kind, error.detail().to_owned())),
    }
}

fn begin_anew(service: &Service, wrong: Option<Error>, next: &str) -> Result<Response> {
    let Some(error) = wrong else {
        return Ok(page::see(crate::ui::login::path_to(next)));
    };
    let shown = LoginPage {
        refused: Some(Refused::NotNow(
            "The login took too long, or too many wrong codes came. Begin anew.".to_owned(),
        )),
        ..LoginPage::blank(service, next.to_owned())
    };
    let mut response = page::html_with(http::status(error.kind()), &shown)?;
    http::describe(&error, &mut response);
    http::clear_step(&mut response);
    Ok(response)
}
