use super::request_id::RequestId;
use poem::Response;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, SERVER,
    X_CONTENT_TYPE_OPTIONS,
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

/// Sets the security headers and the request's id.
pub(super) fn secure(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    default(headers, CACHE_CONTROL, HeaderValue::from_static("no-store"));
    default(headers, CONTENT_SECURITY_POLICY, POLICY);
    headers.remove(SERVER);
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
