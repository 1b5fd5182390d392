//! Log in and out.

pub mod code;
pub mod openid;

use super::form::Empty;
use super::page::{self, Shell};
use crate::domain::{Error, Kind, Secret};
use crate::http::{self, Caller, Form, OpenForm};
use crate::service::{LoginStep, Service};
use crate::ui::filters;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Request, Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    name: String,
    refused: Option<Refused>,
    changed: bool,
    /// The OpenID provider, where there is one.
    provider: Option<String>,
}

impl LoginPage {
    /// As it is before anything was typed.
    fn blank(service: &Service, next: String) -> Self {
        Self {
            shell: Shell::outside(),
            next,
            name: String::new(),
            refused: None,
            changed: false,
            provider: service.openid_name().map(str::to_owned),
        }
    }
}

/// Why nobody was logged in.
enum Refused {
    /// Name or password are wrong; which of them, nobody is told.
    Wrong,
    /// The sentence says it.
    NotNow(String),
}

#[derive(Deserialize)]
pub struct Where {
    #[serde(default)]
    next: String,
    /// Whether somebody has just changed their password.
    #[serde(default)]
    changed: String,
}

#[derive(Deserialize)]
pub struct Login {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// The login page, with the way back.
pub fn path_to(here: &str) -> String {
    if here == "/" {
        return "/login".to_owned();
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", here)
        .finish();
    format!("/login?{query}")
}

/// A path of this service, whatever was asked for: never another site.
pub fn local(next: &str) -> &str {
    let safe = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if safe { next } else { "/" }
}

#[handler]
pub async fn form(
    caller: Option<Caller>,
    Data(service): Data<&Service>,
    Query(to): Query<Where>,
) -> Result<Response> {
    if caller.is_some() {
        return Ok(page::see(local(&to.next)));
    }
    page::html(&LoginPage {
        changed: !to.changed.is_empty(),
        ..LoginPage::blank(service, local(&to.next).to_owned())
    })
}

#[handler]
pub async fn log_in(
    request: &Request,
    before: Option<Caller>,
    Data(service): Data<&Service>,
    OpenForm(typed): OpenForm<Login>,
) -> Result<Response> {
    let password = Secret::new(typed.password);
    let from = http::peer(request);
    let client = (from, http::agent(request));
    match service.log_in(&typed.name, &password, client).await {
        Ok(step) => {
            // The browser begins anew: nothing is left of the session it had.
            if let Some(Caller(before)) = before {
                service.close_session(&before).await?;
            }
            Ok(go_on(&step, local(&typed.next)))
        }
        Err(error) => {
            // The name stays out of the log: people type the password there by mistake.
            tracing::warn!(%from, kind = ?error.kind(), "login refused");
            let page = LoginPage::blank(service, local(&typed.next).to_owned());
            refuse(&error, typed.name, page)
        }
    }
}

/// The next page, with the cookie that opens it.
fn go_on(step: &LoginStep, next: &str) -> Response {
    match step {
        LoginStep::Session(token) => {
            let mut response = page::see(next);
            http::set_session(&mut response, token);
            response
        }
        LoginStep::Code(token) => step_to("/login/code", next, token),
        LoginStep::Enrol(token) => step_to("/login/second_factor", next, token),
    }
}

fn step_to(path: &str, next: &str, token: &Secret) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    let mut response = page::see(format!("{path}?{query}"));
    http::clear_session(&mut response);
    http::set_step(&mut response, token);
    response
}

/// Says in the form why nobody was logged in. Name and password are not told apart.
fn refuse(error: &Error, name: String, page: LoginPage) -> Result<Response> {
    let refused = match error.kind() {
        Kind::Unauthenticated => Refused::Wrong,
        _ => Refused::NotNow(error.detail().to_owned()),
    };
    let shown = LoginPage {
        name,
        refused: Some(refused),
        ..page
    };
    let mut response = page::html_with(http::status(error.kind()), &shown)?;
    http::describe(error, &mut response);
    http::tried(&mut response, &shown.name);
    Ok(response)
}

#[handler]
pub async fn log_out(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    service.close_session(&actor).await?;
    let mut response = page::see("/login");
    http::clear_session(&mut response);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_but_to_this_service() {
        for good in ["/", "/tasks", "/tasks?q=a%20b&state=DONE"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "tasks",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/a\r\nSet-Cookie: x",
            "/\t/evil.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
