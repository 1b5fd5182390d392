//! What both front ends share: the listener, the status table, who asks, request ids, security
//! headers, limits, the access log, health.

use crate::domain;
use crate::service::Actor;
use poem::http::StatusCode;
use poem::{FromRequest, Request, RequestBody, Response};

/// Who asks. A handler that takes one cannot be reached without a login: the extractor fails with
/// `Unauthenticated` where neither HTTP basic nor a session was shown.
pub struct Caller(pub Actor);

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(_request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        unimplemented!()
    }
}

/// What absolute URLs of this service begin with, without a slash at the end, such as
/// `https://127.0.0.1:8443`: `http.public_url`, else the request's Host where it names an address
/// or name of the certificate, else the listening address.
pub struct BaseUrl(pub String);

impl<'a> FromRequest<'a> for BaseUrl {
    async fn from_request(_request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        unimplemented!()
    }
}

/// The status table: the one place where a kind of error becomes a status.
pub fn status(_kind: domain::Kind) -> StatusCode {
    unimplemented!()
}

/// Makes `?` work in handlers: the answer is RFC 9457 `application/problem+json`. The pages turn
/// the same error into HTML by downcasting it.
impl poem::error::ResponseError for domain::Error {
    fn status(&self) -> StatusCode {
        status(self.kind())
    }

    fn as_response(&self) -> Response {
        unimplemented!()
    }
}

/// The layer below gives it.
pub fn peer(_: &Request) -> std::net::IpAddr {
    unimplemented!()
}
/// The layer below gives it.
pub fn session_token(_: &Request) -> Option<domain::Secret> {
    unimplemented!()
}
/// The layer below gives it.
pub fn set_session(_: &mut Response, _: &domain::Secret) {
    unimplemented!()
}
/// The layer below gives it.
pub fn clear_session(_: &mut Response) {
    unimplemented!()
}
/// The layer below gives it.
pub fn from_poem(_: poem::Error) -> domain::Error {
    unimplemented!()
}
/// The layer below gives it.
pub fn describe(_: &domain::Error, _: &mut Response) {
    unimplemented!()
}
/// The layer below gives it.
#[derive(Debug)]
pub struct RequestId;
impl RequestId {
    /// The layer below gives it.
    pub fn current() -> Option<Self> {
        unimplemented!()
    }
    /// The layer below gives it.
    pub fn as_str(&self) -> &str {
        unimplemented!()
    }
}
/// The layer below gives it.
pub fn problem(_: &domain::Error) -> Response {
    unimplemented!()
}
