//! Who asks: HTTP basic, an API token, the pages' session and a client certificate, turned into an
//! [`Actor`].

use crate::domain::{ClientCertificate, Error, Kind, Result, Secret};
use crate::service::{Actor, Service, TICKET_LIFE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::HeaderValue;
use poem::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, USER_AGENT};
use poem::{Request, Response};
use std::net::{IpAddr, Ipv4Addr};
use zeroize::Zeroizing;

/// How much of what a browser calls itself is kept, in characters.
const AGENT: usize = 256;

/// The pages' cookie. The prefix makes browsers refuse it without Secure, with a Domain, or with
/// another Path.
const COOKIE_NAME: &str = "__Host-wsexec";
/// The cookie of a login that is half done.
const STEP_COOKIE: &str = "__Host-wsexec-login";

/// The cookie of who is at an OpenID provider. It alone goes along where another site leads here.
const OPENID_COOKIE: &str = "__Host-wsexec-openid";
/// The longest of them, in bytes: 256 random bits, and the way back in base64.
const OPENID_LONGEST: usize = 2048;

/// Sent along where another site leads here, too.
const LAX: &str = "; SameSite=Lax";
const GONE: &str = "; Max-Age=0";

/// Which logins count at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// `/wsexec`: HTTP basic or an API token, a session, a client certificate, in this order;
    /// nothing is answered without one.
    Api,
    /// The pages: a session or nobody; each page says what it wants.
    Pages,
    /// Documents and files that need no login.
    Open,
}

impl Zone {
    pub(super) fn of(path: &str) -> Self {
        let first = path.trim_start_matches('/').split('/').next();
        match first.unwrap_or_default() {
            "wsexec" | "metrics" => Self::Api,
            "openapi.json" | "docs" | "static" | "healthz" | "readyz" => Self::Open,
            _ => Self::Pages,
        }
    }
}

/// Finds out who asks.
///
/// # Errors
/// `Unauthenticated` under [`Zone::Api`] where no login was shown, or a wrong one; what
/// [`Service::authenticate`] and [`Service::session`] say.
pub(super) async fn identify(
    request: &Request,
    service: &Service,
    zone: Zone,
) -> Result<Option<Actor>> {
    match zone {
        Zone::Open => Ok(None),
        Zone::Pages => session(request, service).await,
        Zone::Api if request.headers().contains_key(AUTHORIZATION) => {
            authorized(request, service).await.map(Some)
        }
        Zone::Api => match session(request, service).await? {
            Some(actor) => Ok(Some(actor)),
            None => by_certificate(request, service).await.map(Some),
        },
    }
}

async fn by_certificate(request: &Request, service: &Service) -> Result<Actor> {
    let Some(certificate) = request.data::<ClientCertificate>() else {
        return Err(Error::new(
            Kind::Unauthenticated,
            "Log in with a user name and a password (HTTP basic), or with an API token (bearer).",
        ));
    };
    let from = peer(request);
    let login = service.certificate_login(certificate, from).await;
    login.inspect_err(|error| {
        if error.kind() == Kind::Unauthenticated {
            let user = certificate.user.as_deref();
            tracing::warn!(user, %from, "login by client certificate failed");
        }
    })
}

async fn session(request: &Request, service: &Service) -> Result<Option<Actor>> {
    match session_token(request) {
        Some(token) => service.session(&token, peer(request)).await,
        None => Ok(None),
    }
}

async fn authorized(request: &Request, service: &Service) -> Result<Actor> {
    let Some(token) = bearer(request) else {
        return basic(request, service).await;
    };
    let from = peer(request);
    let login = service.token_login(&token, from).await;
    login.inspect_err(|error| match error.kind() {
        Kind::Unauthenticated => tracing::warn!(%from, "login failed: no such token"),
        Kind::TooMany => tracing::warn!(%from, "login refused: too many tries"),
        _ => {}
    })
}

/// How to log in (RFC 7617 section 2, RFC 6750 section 3), for an answer that somebody has to.
pub(super) fn challenges(request: &Request) -> [&'static str; 2] {
    let bearer = match bearer(request) {
        Some(_) => "Bearer realm=\"wsexec\", error=\"invalid_token\"",
        None => "Bearer realm=\"wsexec\"",
    };
    ["Basic realm=\"wsexec\", charset=\"UTF-8\"", bearer]
}

/// RFC 6750 section 2.1; none where the header is anything else.
pub(super) fn bearer(request: &Request) -> Option<Secret> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (scheme, token) = headers.next()?.to_str().ok()?.split_once(' ')?;
    let alone = headers.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    alone.then(|| Secret::new(token.trim()))
}

async fn basic(request: &Request, service: &Service) -> Result<Actor> {
    let from = peer(request);
    let Some((name, password)) = credentials(request) else {
        tracing::warn!(%from, "login failed: the Authorization header cannot be read");
        return Err(Error::new(
            Kind::Unauthenticated,
            "The Authorization header is neither HTTP basic with a user name and a password in UTF-8, nor a \
             bearer token.",
        ));
    };
    service
        .authenticate(&name, &password, from)
        .await
        .inspect_err(|error| {
            // The name stays out of the log: people type the password there by mistake. The audit
            // trail has it where there is such a user.
            match error.kind() {
                Kind::Unauthenticated => tracing::warn!(%from, "login failed"),
                Kind::TooMany => tracing::warn!(%from, "login refused: too many tries"),
                _ => {}
            }
        })
}

/// RFC 7617, with UTF-8; none where the header is anything else.
pub(super) fn credentials(request: &Request) -> Option<(String, Secret)> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (scheme, encoded) = headers.next()?.to_str().ok()?.split_once(' ')?;
    if headers.next().is_some() || !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    if text.chars().any(char::is_control) {
        return None;
    }
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), Secret::new(password)))
}

/// The name that a request tries to log in with by HTTP basic.
pub(super) fn tried_name(request: &Request) -> Option<String> {
    credentials(request).map(|(name, _)| name)
}

/// Whether a request shows an API token.
pub(super) fn shows_token(request: &Request) -> bool {
    bearer(request).is_some()
}

/// The name that a refused login of the pages was tried with.
#[derive(Clone)]
pub(super) struct Tried(pub(super) String);

/// Says with what name a login was tried that this response refuses, for the record.
pub fn tried(response: &mut Response, name: &str) {
    response.extensions_mut().insert(Tried(name.to_owned()));
}

/// Where a request comes from, for the throttle, the record and the log: the connection's peer, or
/// whom a trusted proxy names.
pub fn peer(request: &Request) -> IpAddr {
    request
        .remote_addr()
        .as_socket_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
            address.ip().to_canonical()
        })
}

/// What the client calls itself, for the list of sessions.
pub fn agent(request: &Request) -> String {
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.and_then(|it| it.to_str().ok()).unwrap_or_default();
    agent.chars().take(AGENT).collect()
}

/// The value of the session cookie; none where there is none that could be one of ours.
pub fn session_token(request: &Request) -> Option<Secret> {
    token(request, COOKIE_NAME)
}

/// The value of the cookie of a login that is half done.
pub fn step_token(request: &Request) -> Option<Secret> {
    token(request, STEP_COOKIE)
}

/// The value of the cookie of who is at an OpenID provider.
pub fn openid_token(request: &Request) -> Option<Secret> {
    let mut values = cookies(request, OPENID_COOKIE);
    values
        .find(|value| {
            let mut parts = value.split('.');
            value.len() <= OPENID_LONGEST && parts.all(is_base64)
        })
        .map(Secret::new)
}

fn token(request: &Request, name: &'static str) -> Option<Secret> {
    cookies(request, name)
        .find(|value| value.len() == 43 && is_base64(value))
        .map(Secret::new)
}

fn is_base64(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether a browser may have logged in by itself, without anyone's doing: the request carries the
/// session cookie, good or not, or came from a browser over a connection with a certificate.
///
/// Programs do not say where a request of theirs comes from. Every browser calls itself "Mozilla",
/// and no page can change that in a request that goes to another site unasked.
pub(super) fn comes_by_itself(request: &Request) -> bool {
    let of_browser = |agent: &HeaderValue| agent.as_bytes().starts_with(b"Mozilla/");
    let by_certificate = request.data::<ClientCertificate>().is_some()
        && !request.headers().contains_key(AUTHORIZATION);
    let mut agents = request.headers().get_all(USER_AGENT).iter();
    cookies(request, COOKIE_NAME).next().is_some() || (by_certificate && agents.any(of_browser))
}

pub(super) fn cookies<'a>(
    request: &'a Request,
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    request
        .headers()
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Gives the browser its session.
pub fn set_session(response: &mut Response, token: &Secret) {
    set_cookie(response, (COOKIE_NAME, token.expose()), "");
}

/// Makes the browser forget its session.
pub fn clear_session(response: &mut Response) {
    set_cookie(response, (COOKIE_NAME, ""), GONE);
}

/// Gives the browser what lets it finish a login.
pub fn set_step(response: &mut Response, token: &Secret) {
    set_cookie(response, (STEP_COOKIE, token.expose()), "");
}

/// Makes the browser forget a login that was half done.
pub fn clear_step(response: &mut Response) {
    set_cookie(response, (STEP_COOKIE, ""), GONE);
}

/// Gives the browser what it needs to come back from an OpenID provider.
pub fn set_openid(response: &mut Response, cookie: &Secret) {
    let life = format!("{LAX}; Max-Age={TICKET_LIFE}");
    write_cookie(response, (OPENID_COOKIE, cookie.expose()), &life);
}

/// Makes the browser forget that it was there.
pub fn clear_openid(response: &mut Response) {
    write_cookie(response, (OPENID_COOKIE, ""), &format!("{LAX}{GONE}"));
}

/// Sends along with what a page of ours leads to alone.
pub(super) fn set_cookie(response: &mut Response, cookie: (&str, &str), more: &str) {
    write_cookie(response, cookie, &format!("; SameSite=Strict{more}"));
}

fn write_cookie(response: &mut Response, (name, value): (&str, &str), more: &str) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly{more}");
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
