//! The span of a request, for traces.

use super::RequestId;
use super::metrics::{method, route};
use crate::traces;
use poem::Request;
use poem::http::header::HeaderName;
use tracing::Span;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What is asked for all the time, and tells nothing.
const UNTRACED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// None where there are no traces, or not of this.
pub(super) fn span(request: &Request, id: &RequestId) -> Span {
    let path = request.uri().path();
    if !traces::are_on() || UNTRACED.contains(&path) || path.starts_with("/static/") {
        return Span::none();
    }
    let mut parents = request.headers().get_all(TRACEPARENT).iter();
    // With several of them none counts (W3C Trace Context section 3.2).
    let parent = parents.next().filter(|_| parents.next().is_none());
    traces::request(&traces::Request {
        method: method(request.method()),
        route: &route(path),
        id: id.as_str(),
        parent: parent.and_then(|it| it.to_str().ok()),
    })
}
