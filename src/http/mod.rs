//! What both front ends share: the listener, the status table, who asks, request ids, security
//! headers, limits, the access log, health.
//!
//! `app` puts [`stack`] around the routes and gives the result to a [`Server`].

mod bare;
mod body;
mod connection;
mod events;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod headers;
mod health;
mod language;
mod listener;
mod login;
mod methods;
mod metrics;
mod origin;
mod plain;
mod problem;
mod request_id;
mod sent;
mod site;
mod stack;
mod stream;
mod traced;
mod watch;

pub use body::{Received, read_body, too_large};
pub use events::{live, server_sent};
pub use form::{FORM_TOKEN, Form, OpenForm, StepForm};
pub use language::{languages, set_language};
pub use listener::{Handshake, Protocol, Server};
pub use login::{
    agent, clear_openid, clear_session, clear_step, openid_token, peer, session_token, set_openid,
    set_session, set_step, step_token, tried,
};
pub use methods::{not_allowed, with_allow};
pub use metrics::Figures;
pub use origin::is_from_elsewhere;
pub use problem::{describe, from_poem, problem, status};
pub use request_id::RequestId;
pub use sent::Sent;
pub use stack::stack;

use crate::config;
use crate::domain::{Error, Kind, ServerCertificate};
use crate::service::{Actor, Service};
use poem::{FromRequest, Request, RequestBody};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch::Receiver;

/// What [`stack`] has to know.
pub struct Settings {
    /// `[http]`
    pub http: config::Http,
    /// What the certificate that is shown says, whichever it is.
    pub certificate: Receiver<Arc<ServerCertificate>>,
    /// Where the listener is bound.
    pub local: SocketAddr,
    /// The use cases.
    pub service: Service,
    /// What `/metrics` shows.
    pub figures: Figures,
}

/// What [`stack`] leaves in a request for the extractors.
#[derive(Clone)]
struct Context {
    site: Arc<site::Site>,
    actor: Option<Actor>,
}

impl Context {
    fn of(request: &Request) -> poem::Result<&Self> {
        let missing = || Error::internal("a route stands outside of http::stack");
        Ok(request.data::<Self>().ok_or_else(missing)?)
    }
}

/// Who asks. A handler that takes one cannot be reached without a login: the extractor fails with
/// `Unauthenticated` where neither HTTP basic nor a session was shown.
pub struct Caller(pub Actor);

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let actor = Context::of(request)?.actor.clone();
        let missing = || Error::new(Kind::Unauthenticated, "Log in first.");
        Ok(Self(actor.ok_or_else(missing)?))
    }
}

/// What absolute URLs of this service begin with, without a slash at the end, such as
/// `https://127.0.0.1:8443`: `http.public_url`, else the request's Host where it names an address
/// or name of the certificate, else the listening address.
pub struct BaseUrl(pub String);

impl<'a> FromRequest<'a> for BaseUrl {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(Context::of(request)?.site.base_url(request)))
    }
}
