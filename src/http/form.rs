//! The forms of the pages, which nobody but a page of this service can have made a browser send.

use super::{Caller, Context, read_body, step_token};
use crate::domain::{Error, Kind, Secret};
use crate::service::is_form_of;
use poem::web::Form as Fields;
use poem::{FromRequest, Request, RequestBody};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

/// The hidden field that each form of a session has.
pub const FORM_TOKEN: &str = "form_token";

/// What a form of a session says. There is none without the token of that session in it, so that
/// a handler that takes one cannot be made to act by another site, whatever a browser lets through.
pub struct Form<T>(pub T);

impl<'a, T: DeserializeOwned> FromRequest<'a> for Form<T> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let Caller(actor) = Caller::from_request(request, body).await?;
        let body = read_body(request, body).await?.bytes;
        if !actor.has_sent(&token(&body)) {
            return Err(forged().into());
        }
        fields(request, body).await.map(Self)
    }
}

/// What the form of somebody says who is not logged in, such as the one that logs in. There is no
/// session yet that a token could be bound to: that a page of this service sent it is what
/// [`super::stack`] has every unsafe request to a page prove, by `Sec-Fetch-Site` or `Origin`.
pub struct OpenForm<T>(pub T);

impl<'a, T: DeserializeOwned> FromRequest<'a> for OpenForm<T> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        Context::of(request)?;
        let body = read_body(request, body).await?.bytes;
        fields(request, body).await.map(Self)
    }
}

/// What a form says that belongs to a login which is half done, with the value of that login's
/// cookie, to which its token is bound.
pub struct StepForm<T> {
    /// The value of the cookie.
    pub cookie: Secret,
    /// What was typed.
    pub typed: T,
}

impl<'a, T: DeserializeOwned> FromRequest<'a> for StepForm<T> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let missing = || Error::new(Kind::Unauthenticated, "Log in first.");
        let cookie = step_token(request).ok_or_else(missing)?;
        let body = read_body(request, body).await?.bytes;
        if !is_form_of(&cookie, &token(&body)) {
            return Err(forged().into());
        }
        let typed = fields(request, body).await?;
        Ok(Self { cookie, typed })
    }
}

/// The token in a form; empty where there is none.
pub(super) fn token(body: &[u8]) -> String {
    let mut fields = form_urlencoded::parse(body);
    let found = fields.find(|(name, _)| name == FORM_TOKEN);
    found.map_or_else(String::new, |(_, value)| value.into_owned())
}

async fn fields<T: DeserializeOwned>(request: &Request, body: bytes::Bytes) -> poem::Result<T> {
    let mut body = RequestBody::new(body.into());
    let Fields(typed) = Fields::from_request(request, &mut body).await?;
    Ok(typed)
}

fn forged() -> Error {
    Error::new(
        Kind::Forbidden,
        "This form belongs to another login, or is none of ours: nothing was done. Go back, reload \
         the page and send it again.",
    )
}
