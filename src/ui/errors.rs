//! Errors as pages: what happened, what helps, and the request id.

use super::filters;
use super::page::{self, Shell};
use crate::domain::{Error, Kind};
use crate::http::{self, RequestId, Sent};
use askama::Template;
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderValue, Method, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "pages/error.html")]
struct ErrorPage {
    shell: Shell,
    kind: Kind,
    status: u16,
    detail: String,
    request_id: String,
}

/// Turns the errors of the pages into HTML, and a missing login into the way to it. Who does not
/// read HTML gets what the API gives.
pub async fn as_pages<E: Endpoint>(pages: Arc<E>, request: Request) -> Result<Response> {
    let here = back_here(&request);
    let unsafe_method = !request.method().is_safe();
    let allow = allowed(request.original_uri().path());
    let is_form = allow == FORM;
    let reads_html = request
        .header(header::ACCEPT)
        .is_some_and(|accept| accept.contains("text/html"));
    // The small forms of a page lead back to it: what they say need not be kept.
    let kept = match is_form {
        true => Sent::keep(request).await,
        false => Ok((request, None)),
    };
    let (answer, sent) = match kept {
        Ok((request, sent)) => (pages.call(request).await, sent),
        Err(error) => (Err(error), None),
    };
    let error = match answer {
        Ok(response) => return Ok(response.into_response()),
        Err(error) => ours(error),
    };
    if reads_html && let Some(page) = sent.and_then(|it| super::kept::page(&it, &error)) {
        return page;
    }
    let mut response = match error.kind() {
        Kind::Unauthenticated => return Ok(page::see(super::login::path_to(&here))),
        Kind::Unconfirmed if reads_html => {
            return Ok(page::see(super::confirm::path_to(&here, unsafe_method)));
        }
        _ if reads_html => as_page(&error)?,
        _ => http::problem(&error),
    };
    if error.kind() == Kind::MethodNotAllowed {
        let allow = HeaderValue::from_static(allow);
        response.headers_mut().insert(header::ALLOW, allow);
    }
    Ok(response)
}

/// The last words of addresses that are no pages: a form on the page before them is sent there.
const ACTS: [&str; 17] = [
    "approval",
    "cancel",
    "rerun",
    "pin",
    "delete",
    "state",
    "host_key",
    "check",
    "logout",
    "password",
    "end_session",
    "end_others",
    "revoke_token",
    "begin",
    "codes",
    "remove",
    "second_factor_off",
];

/// The methods of a page that is a form.
const FORM: &str = "GET, HEAD, POST";

/// The methods that a page has (RFC 9110 section 15.5.6).
fn allowed(path: &str) -> &'static str {
    match path.rsplit('/').next() {
        Some(act) if ACTS.contains(&act) => "POST",
        Some(id) if path.starts_with("/users/") && id.parse::<i64>().is_ok() => FORM,
        Some(
            "login" | "new" | "edit" | "amend" | "bulk" | "confirm" | "code" | "second_factor",
        ) => FORM,
        _ => "GET, HEAD",
    }
}

fn as_page(error: &Error) -> Result<Response> {
    let status = http::status(error.kind());
    let shown = ErrorPage {
        shell: Shell::outside(),
        kind: error.kind(),
        status: status.as_u16(),
        detail: error.detail().to_owned(),
        request_id: RequestId::current().map_or_else(String::new, |id| id.as_str().to_owned()),
    };
    let mut response = page::html_with(status, &shown)?;
    http::describe(error, &mut response);
    Ok(response)
}

/// The page to come back to after a login: this one, or the one that the form stood on.
fn back_here(request: &Request) -> String {
    let uri = request.original_uri();
    if uri.path().starts_with("/login") {
        return "/".to_owned();
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
    }
    let path = uri.path();
    match path.rsplit_once('/') {
        Some(("", "logout")) => "/".to_owned(),
        Some((page, act)) if ACTS.contains(&act) => page.to_owned(),
        _ => path.to_owned(),
    }
}

/// The domain's error, in the words of the pages where poem itself refused.
fn ours(error: poem::Error) -> Error {
    if error.is::<NotFoundError>() {
        Error::not_found("There is no such page.")
    } else if error.is::<MethodNotAllowedError>() {
        Error::new(Kind::MethodNotAllowed, "This page does not do that.")
    } else {
        http::from_poem(error)
    }
}
