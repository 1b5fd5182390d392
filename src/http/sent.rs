//! What a form says, kept beside the request: for a page that shows it again where the request
//! was refused because of who sent it.

use super::form::token;
use super::origin::SEC_FETCH_SITE;
use super::{Caller, FORM_TOKEN, read_body};
use crate::service::Actor;
use bytes::Bytes;
use poem::http::header;
use poem::{FromRequest as _, Request, RequestBody, Result};
use url::form_urlencoded;

/// Fields that are never sent back to a browser.
const SECRET: [&str; 7] = [
    "again",
    "code",
    "new",
    "old",
    "passphrase",
    "password",
    "value",
];
/// The most fields that are kept: more than any page has.
const MOST: usize = 64;
/// Where a form belongs to no session, or is about the login itself.
const APART: [&str; 4] = ["/login", "/logout", "/language", "/confirm"];

/// A form that a page of ours sent. It cannot be acted on by this.
pub struct Sent {
    /// Where to.
    pub path: String,
    /// Who sent it, where they are logged in.
    pub actor: Option<Actor>,
    body: Bytes,
}

impl Sent {
    /// Keeps what a form says beside the request that goes on to its handler. Nothing is kept of
    /// what is no form, and of a request that no browser proves to come from a page of ours: by
    /// `Origin` or `Sec-Fetch-Site`, which [`super::stack`] has looked at.
    ///
    /// # Errors
    /// As [`read_body`].
    pub async fn keep(request: Request) -> Result<(Request, Option<Self>)> {
        let path = request.original_uri().path().to_owned();
        let form = request.content_type() == Some("application/x-www-form-urlencoded");
        let headers = request.headers();
        let ours = headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
        let apart = APART.iter().any(|it| path.starts_with(it));
        if request.method().is_safe() || !form || !ours || apart {
            return Ok((request, None));
        }
        let (mut request, mut body) = request.split();
        let caller = Caller::from_request(&request, &mut RequestBody::default()).await;
        let body = read_body(&request, &mut body).await?.bytes;
        request.set_body(body.clone());
        let actor = caller.ok().map(|Caller(actor)| actor);
        let sent = Self { path, actor, body };
        Ok((request, Some(sent)))
    }

    /// Whether it carries the token of the session that sent it.
    pub fn is_verified(&self) -> bool {
        let actor = self.actor.as_ref();
        actor.is_some_and(|it| it.has_sent(&token(&self.body)))
    }

    /// Its fields without secrets, and the names of the secrets that it had.
    pub fn fields(&self) -> (Vec<(String, String)>, Vec<String>) {
        let (mut fields, mut dropped) = (Vec::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(&self.body).take(MOST) {
            if !SECRET.contains(&&*name) {
                fields.push((name.into_owned(), value.into_owned()));
            } else if !value.is_empty() {
                dropped.push(name.into_owned());
            }
        }
        fields.retain(|(name, _)| name != FORM_TOKEN);
        (fields, dropped)
    }
}
