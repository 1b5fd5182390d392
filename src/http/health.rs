use super::not_allowed;
use crate::domain::Result;
use crate::service::Service;
use poem::http::header::CONTENT_TYPE;
use poem::http::{Method, StatusCode};
use poem::{Request, Response};

/// Answers `/healthz` (the process answers) and `/readyz` (store and engine work); none for every
/// other address. They need no login and tell nothing else.
pub(super) async fn answer(request: &Request, service: &Service) -> Option<Result<Response>> {
    let ready = match request.uri().path() {
        "/healthz" => false,
        "/readyz" => true,
        _ => return None,
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Ok(not_allowed("GET, HEAD")));
    }
    if ready && let Err(error) = service.ready().await {
        return Some(Err(error));
    }
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(CONTENT_TYPE, "text/plain")
        .body("ok\n");
    Some(Ok(response))
}
