//! The status table, and errors as RFC 9457 problem documents.

use super::request_id::RequestId;
use crate::domain::{Error, Kind};
use poem::error::{
    MethodNotAllowedError, NotFoundError, ParseFormError, ParseJsonError, ParsePathError,
    ParseQueryError, ReadBodyError, ResponseError,
};
use poem::http::header::{CONTENT_TYPE, RETRY_AFTER};
use poem::http::{HeaderValue, StatusCode};
use poem::{Body, Response};
use serde::Serialize;
use std::sync::Arc;

/// The status table: the one place where a kind of error becomes a status.
pub fn status(kind: Kind) -> StatusCode {
    row(kind).0
}

/// The status, and the short phrase that `error` holds for old clients.
fn row(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Invalid => (StatusCode::BAD_REQUEST, "Bad request"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthorized access"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
        Kind::Unconfirmed => (StatusCode::FORBIDDEN, "Confirm who you are"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        Kind::Timeout => (StatusCode::REQUEST_TIMEOUT, "Request timeout"),
        Kind::Conflict => (StatusCode::CONFLICT, "Conflict"),
        Kind::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "Precondition failed"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
        Kind::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request head too large",
        ),
        Kind::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
        }
        Kind::RangeNotSatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable"),
        Kind::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused"),
        Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
    }
}

/// The media type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// RFC 9457. `type` is `about:blank`: the status says it all, so `title` is the status's phrase.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<BadField<'a>>,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct BadField<'a> {
    field: &'a str,
    message: &'a str,
}

/// The text of a problem document, for where there is no response to put it into.
pub(super) fn document(error: &Error) -> String {
    let (status, phrase) = row(error.kind());
    let id = RequestId::current();
    let document = Document {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or(phrase),
        status: status.as_u16(),
        detail: error.detail(),
        errors: error
            .invalid_fields()
            .iter()
            .map(|f| BadField {
                field: &f.field,
                message: &f.message,
            })
            .collect(),
        error: phrase,
        request_id: id.as_ref().map(RequestId::as_str),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

/// The error as `application/problem+json`, with `Retry-After` where the error has one. The
/// outermost layer logs the cause.
pub fn problem(error: &Error) -> Response {
    let mut response = Response::builder()
        .status(status(error.kind()))
        .header(CONTENT_TYPE, PROBLEM_JSON)
        .body(Body::from_string(document(error)));
    describe(error, &mut response);
    response
}

/// Makes any response the answer to an error: sets `Retry-After`, and hands the cause to the
/// outermost layer, which logs it once. For a page that shows the error in its own words; the
/// status and the body are the caller's.
pub fn describe(error: &Error, response: &mut Response) {
    if let Some(seconds) = error.retry_after() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(cause) = error.cause() {
        response.extensions_mut().insert(Cause(chain(cause).into()));
    }
}

/// What the log should say of a response.
#[derive(Clone)]
pub(super) struct Cause(pub(super) Arc<str>);

/// An error with all that it comes from, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

/// What an error of poem's is in our words. poem's own text never reaches the caller: it may show
/// what it was given.
pub fn from_poem(error: poem::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    if error.is::<NotFoundError>() {
        return Error::not_found("There is nothing at this address.");
    }
    if error.is::<MethodNotAllowedError>() {
        return Error::new(
            Kind::MethodNotAllowed,
            "This address does not have that method; the header Allow lists those it has.",
        );
    }
    if error.is::<ParsePathError>() {
        return Error::new(Kind::Invalid, "The address holds an id that is not one.");
    }
    if error.is::<ParseQueryError>() {
        return Error::new(Kind::Invalid, "The query cannot be read.");
    }
    if error.is::<ParseFormError>() || error.is::<ParseJsonError>() {
        return Error::new(Kind::Invalid, "The body cannot be read.");
    }
    if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref::<ReadBodyError>() {
        return super::body::too_large();
    }
    by_status(error)
}

/// What is left is known by its status alone.
fn by_status(error: poem::Error) -> Error {
    let kind = match error.status() {
        StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Kind::Timeout,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::PRECONDITION_FAILED => Kind::PreconditionFailed,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Kind::HeadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
        StatusCode::RANGE_NOT_SATISFIABLE => Kind::RangeNotSatisfiable,
        StatusCode::TOO_MANY_REQUESTS => Kind::TooMany,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
        status if status.is_client_error() => Kind::Invalid,
        _ => return Error::internal(error),
    };
    Error::new(kind, row(kind).1).caused_by(error)
}

/// Makes `?` work in handlers: the answer is RFC 9457 `application/problem+json`. The pages turn
/// the same error into HTML by downcasting it.
impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        status(self.kind())
    }

    fn as_response(&self) -> Response {
        problem(self)
    }
}
