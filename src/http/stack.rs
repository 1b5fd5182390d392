//! The outermost layer: what every request goes through, in this order.

use super::body::{Intake, Limits};
use super::login::{self, Tried, Zone};
use super::problem::{Cause, from_poem, problem};
use super::request_id::RequestId;
use super::site::{Site, authority};
use super::{Context, Settings, headers, health, metrics, origin, traced};
use crate::domain::{Error, Kind, Result};
use crate::service::{Actor, Hold, Refusal, RefusalKind};
use crate::traces;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::http::header::{HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE};
use poem::http::{HeaderValue, Method, StatusCode, Version};
use poem::{Endpoint, IntoResponse, Request, Response};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument as _;

/// Where tasks are posted, with what their scripts read.
const TASKS: &str = "/wsexec/tasks";
/// How much of a path goes into the log, in bytes.
const LOGGED_PATH: usize = 256;

/// Puts what both front ends share around them. The endpoint that comes out never fails: errors
/// of ours and of poem's and panics are problem documents, and every response has a request id,
/// the security headers and a line in the access log.
///
/// Under `/wsexec` nothing reaches `inner` without a login; elsewhere [`super::Caller`] is the
/// gate. `/healthz` and `/readyz` are answered here.
pub fn stack<E>(inner: E, settings: Settings) -> impl Endpoint<Output = Response> + 'static
where
    E: Endpoint + 'static,
{
    Stack {
        inner,
        site: Arc::new(Site::new(&settings)),
        limits: Limits::new(settings.http.body_limit),
        settings,
    }
}

struct Stack<E> {
    inner: E,
    site: Arc<Site>,
    limits: Limits,
    settings: Settings,
}

impl<E: Endpoint> Endpoint for Stack<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let id = RequestId::random();
        // At the level of errors, so that those carry the id whatever is logged.
        let span = tracing::error_span!("request", id = %id);
        let traced = traced::span(&request, &id);
        let answer = self.answer(request, id.clone());
        let answer = id.scope(answer).instrument(traced.clone());
        let response = answer.instrument(span).await;
        traces::answered(&traced, response.status().as_u16());
        Ok(response)
    }
}

impl<E: Endpoint> Stack<E> {
    /// Answers and logs.
    async fn answer(&self, mut request: Request, id: RequestId) -> Response {
        let began = Instant::now();
        let line = Line::new(&request);
        let mut known = Known::of(&request);
        let intake = self.guard(&mut request);
        let challenge = wants_challenge(&request).then(|| login::challenges(&request));

        let mut response = self.respond(request, &mut known).await;
        if let Some(intake) = intake {
            if let Some(fault) = intake.fault() {
                response = refuse_body(response, fault.into());
            }
            intake.drain().await;
            if let Some(unread) = intake.unread() {
                response.extensions_mut().insert(unread);
            }
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            for scheme in challenge.into_iter().flatten() {
                let scheme = HeaderValue::from_static(scheme);
                response.headers_mut().append(WWW_AUTHENTICATE, scheme);
            }
        }
        if let Some(kind) = known.refusal(&mut response) {
            let refusal = Refusal {
                kind,
                actor: known.who.as_ref(),
                tried: known.tried.as_deref(),
                from: line.peer,
                method: line.method.as_str(),
                path: &line.path,
                status: response.status().as_u16(),
                request: id.as_str(),
            };
            self.settings.service.refused(refusal).await;
        }
        let certificate = self.settings.certificate.borrow().clone();
        headers::secure(&mut response, &id, Some(&certificate));
        line.write(&mut response, known.who.as_ref(), began);
        response
    }

    fn guard(&self, request: &mut Request) -> Option<Intake> {
        let http = &self.settings.http;
        let allowance = Duration::from_secs(http.body_timeout);
        let posts_task = request.method() == Method::POST && request.uri().path() == TASKS;
        let limit = match posts_task {
            true => http.task_body_limit.max(http.body_limit),
            false => http.body_limit,
        };
        request.set_data(self.limits.clone());
        Intake::guard(request, limit, allowance)
    }

    /// Everything that may fail or panic.
    async fn respond(&self, request: Request, known: &mut Known) -> Response {
        let attempt = AssertUnwindSafe(self.attempt(request, known)).catch_unwind();
        match attempt.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_from_response() => error.into_response(),
            Ok(Err(error)) => problem(&from_poem(error)),
            // What it says may hold data; the log has where it was.
            Err(_) => problem(&Error::internal("a handler panicked")),
        }
    }

    async fn attempt(&self, mut request: Request, known: &mut Known) -> poem::Result<Response> {
        well_formed(&request)?;
        if let Some(health) = health::answer(&request, &self.settings.service).await {
            return Ok(health?);
        }
        let zone = Zone::of(request.uri().path());
        let needs_proof = zone == Zone::Pages || login::comes_by_itself(&request);
        origin::check(&request, &self.site, needs_proof).inspect_err(|_| known.foreign = true)?;
        known.who = login::identify(&request, &self.settings.service, zone).await?;
        let (who, figures) = (known.who.as_ref(), &self.settings.figures);
        let service = &self.settings.service;
        if let Some(figures) = metrics::answer(&request, who, service, figures).await {
            return Ok(figures?);
        }
        request.set_data(Context {
            site: self.site.clone(),
            actor: known.who.clone(),
        });
        let response = self.inner.call(request).await?.into_response();
        Ok(match &known.who {
            Some(actor) => held(response, self.settings.service.hold(actor)),
            None => response,
        })
    }
}

/// The answer, which breaks off where whoever gets it may no longer have it. What is whole goes out
/// at once.
fn held(mut response: Response, hold: Hold) -> Response {
    let body: BoxBody<Bytes, io::Error> = response.take_body().into();
    let whole = body.size_hint().exact().is_some();
    let body = poem::Body::from(body);
    if whole {
        response.set_body(body);
        return response;
    }
    let chunks = body.into_bytes_stream();
    let chunks = stream::try_unfold((chunks, hold), |(mut chunks, mut hold)| async move {
        let next = hold.keep(chunks.next()).await.map_err(|error| {
            tracing::info!(%error, "an answer broke off");
            io::Error::other(error.to_string())
        })?;
        Ok::<_, io::Error>(next.transpose()?.map(|chunk| (chunk, (chunks, hold))))
    });
    response.set_body(poem::Body::from_bytes_stream(chunks));
    response
}

/// What hyper lets through and no handler should see: another form of target than a path, anything
/// but one good Host (RFC 9112 section 3.2), a transfer coding that nobody undoes.
fn well_formed(request: &Request) -> Result<()> {
    if !request.uri().path().starts_with('/') {
        return Err(Error::new(Kind::Invalid, "The request target is no path."));
    }
    let old = request.version() < Version::HTTP_11 && !request.headers().contains_key(HOST);
    if !old && authority(request).is_none() {
        return Err(Error::new(
            Kind::Invalid,
            "The request needs one Host header that names a host.",
        ));
    }
    // Another coding would have to be undone, and a proxy in between might see another end of the
    // body (RFC 9112 section 6.1).
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::new(
            Kind::Invalid,
            "The only transfer coding that this server takes is chunked.",
        ));
    }
    Ok(())
}

/// A browser that got the challenge would ask for a password and keep it.
fn wants_challenge(request: &Request) -> bool {
    Zone::of(request.uri().path()) == Zone::Api
        && !request.headers().contains_key(origin::SEC_FETCH_SITE)
}

/// A handler may have turned the broken body into any error; the client learns what it was.
fn refuse_body(response: Response, error: Error) -> Response {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if failed && response.status() != super::status(error.kind()) {
        problem(&error)
    } else {
        response
    }
}

/// What is known of whoever asks: for the log, and for the record where they are refused.
struct Known {
    who: Option<Actor>,
    /// The name that a login was tried with.
    tried: Option<String>,
    /// Whether an API token was shown.
    token: bool,
    /// Whether another site is behind the request.
    foreign: bool,
}

impl Known {
    fn of(request: &Request) -> Self {
        Self {
            who: None,
            tried: login::tried_name(request),
            token: login::shows_token(request),
            foreign: false,
        }
    }

    /// Which kind of refusal an answer is; none where it is none.
    fn refusal(&mut self, response: &mut Response) -> Option<RefusalKind> {
        let said = response.extensions_mut().remove();
        let again = said.is_some() && self.who.is_some();
        if let Some(Tried(name)) = said {
            self.tried = Some(name);
        }
        let stranger = self.who.is_none();
        match response.status() {
            StatusCode::FORBIDDEN if self.foreign => Some(RefusalKind::Origin),
            StatusCode::FORBIDDEN => Some(RefusalKind::Forbidden),
            StatusCode::UNAUTHORIZED if stranger && self.tried.is_some() => {
                Some(RefusalKind::Login)
            }
            // A form says so of who is logged in and did not prove again who they are.
            StatusCode::BAD_REQUEST if again => Some(RefusalKind::Login),
            StatusCode::UNAUTHORIZED if stranger && self.token => Some(RefusalKind::Token),
            StatusCode::UNAUTHORIZED => Some(RefusalKind::Unauthenticated),
            StatusCode::TOO_MANY_REQUESTS => Some(RefusalKind::TooMany),
            _ => None,
        }
    }
}

/// The line of the access log: never a query, a body or a secret.
struct Line {
    method: poem::http::Method,
    path: String,
    peer: std::net::IpAddr,
}

impl Line {
    fn new(request: &Request) -> Self {
        let path = request.uri().path();
        Self {
            method: request.method().clone(),
            path: path[..path.floor_char_boundary(LOGGED_PATH)].to_owned(),
            peer: login::peer(request),
        }
    }

    fn write(self, response: &mut Response, who: Option<&Actor>, began: Instant) {
        if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
            if response.status().is_server_error() {
                tracing::error!(cause = &*cause, "request failed");
            } else {
                tracing::debug!(cause = &*cause, "request refused");
            }
        }
        metrics::count(&self.method, &self.path, response.status(), began.elapsed());
        let body: BoxBody<Bytes, io::Error> = response.take_body().into();
        let bytes = body.size_hint().exact();
        response.set_body(poem::Body::from(body));
        tracing::info!(
            method = self.method.as_str(),
            path = self.path,
            status = response.status().as_u16(),
            ms = began.elapsed().as_millis() as u64,
            bytes,
            user = who.map(Actor::name),
            peer = %self.peer,
            "request"
        );
    }
}
