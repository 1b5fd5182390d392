//! `/metrics`: the figures of the server, for Prometheus.

use super::not_allowed;
use crate::domain::Result;
use crate::service::{Actor, Service};
use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use poem::http::{Method, StatusCode};
use poem::{Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// All figures in the text format of Prometheus (exposition format 0.0.4).
pub type Figures = Arc<dyn Fn() -> String + Send + Sync>;

/// Words that stand in addresses; others would let whoever asks make ever new series.
const WORDS: [&str; 41] = [
    "account",
    "approval",
    "attempts",
    "audit",
    "bulk",
    "callback",
    "cancel",
    "check",
    "code",
    "confirm",
    "delete",
    "diff",
    "docs",
    "edit",
    "events",
    "healthz",
    "host_key",
    "identities",
    "instances",
    "language",
    "login",
    "logout",
    "me",
    "metrics",
    "new",
    "openapi.json",
    "openid",
    "output",
    "password",
    "pin",
    "readyz",
    "rerun",
    "second_factor",
    "sessions",
    "state",
    "stderr",
    "stdout",
    "tasks",
    "tokens",
    "users",
    "wsexec",
];

/// Answers `/metrics`; none for every other address.
pub(super) async fn answer(
    request: &Request,
    actor: Option<&Actor>,
    service: &Service,
    figures: &Figures,
) -> Option<Result<Response>> {
    let actor = actor.filter(|_| request.uri().path() == "/metrics")?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Ok(not_allowed("GET, HEAD")));
    }
    if let Err(error) = service.refresh_metrics(actor).await {
        return Some(Err(error));
    }
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .body(figures());
    Some(Ok(response))
}

/// Counts an answer.
pub(super) fn count(asked: &Method, path: &str, status: StatusCode, took: Duration) {
    let route = route(path);
    metrics::histogram!("wsexec_http_request_seconds", "route" => route.clone()).record(took);
    metrics::counter!(
        "wsexec_http_requests_total",
        "method" => method(asked), "route" => route, "status" => status.as_u16().to_string()
    )
    .increment(1);
}

/// A method, one of a few.
pub(super) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    let known = KNOWN.into_iter().find(|it| *it == method.as_str());
    known.unwrap_or("other")
}

/// An address without what differs from one thing to the next.
pub(super) fn route(path: &str) -> String {
    if path.starts_with("/static/") {
        return "/static/{name}".to_owned();
    }
    if !path.starts_with('/') {
        return "other".to_owned();
    }
    let mut route = String::with_capacity(path.len());
    for (depth, part) in path.split('/').skip(1).enumerate() {
        let known = match part {
            "" if depth == 0 && path == "/" => "",
            part if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => "{id}",
            part if depth < 4 && WORDS.contains(&part) => part,
            _ => return "other".to_owned(),
        };
        route.push('/');
        route.push_str(known);
    }
    route
}

#[cfg(test)]
mod tests {
    use super::{WORDS, route};

    #[test]
    fn no_address_makes_a_series_of_its_own() {
        assert_eq!(route("/"), "/");
        assert_eq!(
            route("/wsexec/tasks/17/stdout"),
            "/wsexec/tasks/{id}/stdout"
        );
        assert_eq!(route("/static/app.0123.css"), "/static/{name}");
        for odd in [
            "",
            "//",
            "/x",
            "/tasks/1x",
            "/tasks/",
            "/1/2/3/4/tasks",
            "/%2e",
        ] {
            assert_eq!(route(odd), "other", "{odd:?}");
        }
        assert!(WORDS.is_sorted());
    }
}
