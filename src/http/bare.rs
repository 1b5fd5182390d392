//! Answers to what never becomes a request: plain HTTP, a head that is malformed, too large or too
//! slow. They look like every other error.

use super::headers;
use super::problem::{PROBLEM_JSON, document, status};
use super::request_id::RequestId;
use crate::domain::{Error, Kind, ServerCertificate};
use poem::Response;
use poem::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use std::net::SocketAddr;

/// What a client that is refused by hyper gets to read instead of an empty answer.
pub(super) fn refusal(hypers_status: u16) -> Error {
    match hypers_status {
        408 => Error::new(Kind::Timeout, "The request head took too long to arrive."),
        414 | 431 => Error::new(
            Kind::HeadTooLarge,
            "The request line and the headers are larger than this server takes.",
        ),
        _ => Error::new(Kind::Invalid, "The request is not HTTP as it should be."),
    }
}

/// The whole answer as it goes over an HTTP/1.1 connection that is closed afterwards, with a line
/// in the log. `certificate` is what the connection showed; none for plain HTTP.
pub(super) fn answer(
    error: &Error,
    peer: SocketAddr,
    certificate: Option<&ServerCertificate>,
) -> Vec<u8> {
    let id = RequestId::random();
    let body = id.within(|| document(error));
    let status = status(error.kind());
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, PROBLEM_JSON)
        .header(CONTENT_LENGTH, body.len())
        .header(CONNECTION, "close")
        .finish();
    headers::secure(&mut response, &id, certificate);
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    tracing::info!(%id, status = status.as_u16(), peer = %peer.ip().to_canonical(), "no request");
    bytes
}
