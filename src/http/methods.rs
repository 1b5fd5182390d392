use super::problem;
use poem::error::MethodNotAllowedError;
use poem::http::HeaderValue;
use poem::http::header::ALLOW;
use poem::{Endpoint, IntoResponse, Request, Response, Result};

/// The answer to a method that an address does not have (RFC 9110 section 15.5.6); `allow` lists
/// those it has, such as `GET, HEAD, POST`.
pub fn not_allowed(allow: &'static str) -> Response {
    let error = problem::from_poem(MethodNotAllowedError.into());
    let mut response = problem::problem(&error);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Adds `Allow` to the 405 of routes, which do not tell their methods: `table` gives the methods
/// of an address by its full path, such as `GET, HEAD, POST`.
pub fn with_allow<E: Endpoint>(
    inner: E,
    table: fn(&str) -> Option<&'static str>,
) -> impl Endpoint<Output = Response> {
    WithAllow { inner, table }
}

struct WithAllow<E> {
    inner: E,
    table: fn(&str) -> Option<&'static str>,
}

impl<E: Endpoint> Endpoint for WithAllow<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let allow = (self.table)(request.original_uri().path());
        match (self.inner.call(request).await, allow) {
            (Err(error), Some(allow)) if error.is::<MethodNotAllowedError>() => {
                Ok(not_allowed(allow))
            }
            (answer, _) => answer.map(IntoResponse::into_response),
        }
    }
}
