use super::request_id::RequestId;
use crate::domain::ServerCertificate;
use poem::Response;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, SERVER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{HeaderMap, HeaderValue};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a page may load: its own files and nothing else. A handler that sets a policy of its own
/// has to name `frame-ancestors` there too.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// On every response, whatever made it.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // With `no-referrer` browsers send `Origin: null` with our own forms (Fetch, "append a request
    // `Origin` header"), which cannot be told from another site's.
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// For two years (RFC 6797): a browser that has it goes to this host by HTTPS alone, on whatever
/// port, and lets nobody past a certificate that it does not trust.
const HTTPS_ALONE: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Sets the security headers and the request's id; none of them depends on what the request was.
/// `certificate` is what the connection showed; none for plain HTTP.
pub(super) fn secure(
    response: &mut Response,
    id: &RequestId,
    certificate: Option<&ServerCertificate>,
) {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    default(headers, CACHE_CONTROL, HeaderValue::from_static("no-store"));
    default(headers, CONTENT_SECURITY_POLICY, POLICY);
    headers.remove(SERVER);
    if certificate.is_some_and(|certificate| !certificate.self_issued) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HTTPS_ALONE);
    }
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
