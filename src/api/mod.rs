//! The JSON API: wire types, thin handlers, and the document that describes them.
//!
//! Requests are read strictly and by hand (`param`, `input`), so that whatever is wrong is named
//! all at once in the contract's own problem documents. Answers that may be large are written as
//! streams (`body`, `rows`, `raw`, `events`).

mod allow;
mod approvals;
mod audit;
mod body;
mod change;
mod check;
mod conditional;
mod document;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod host_keys;
mod identities;
mod identity_change;
mod input;
mod instance_change;
mod instance_json;
mod instances;
mod login;
mod output;
mod param;
mod range;
mod raw;
mod refusal;
mod rows;
mod sessions;
mod tasks;
mod tokens;
mod user_change;
mod user_json;
mod users;
mod wire;
mod word;

pub use audit::{audit_line, audit_record};

use crate::domain::{Order, Page};
use crate::http::with_allow;
use crate::service::Service;
use body::Streamed;
use param::{Id, Int, Query};
use poem::{IntoEndpoint, Route};
use poem_openapi::payload::Json;
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, OpenApiService, Tags};
use wire::RemovedAnswer;
use word::OneOf;

/// The most rows of one page of a list.
type Limit = Int<1, 1_000_000>;

#[derive(Tags)]
enum Tag {
    /// Executions of scripts.
    Tasks,
    /// What the scripts wrote.
    Output,
    /// Machines that scripts can run on.
    Instances,
    /// Who did what.
    Audit,
    /// Who may log in, and with what.
    Users,
    /// Keys and secrets that are kept by name.
    Identities,
}

/// A list.
#[derive(ApiResponse)]
enum Listed<T: Type> {
    /// The rows that were asked for.
    #[oai(status = 200)]
    Rows(
        Streamed<T>,
        /// The page that follows, with `rel="next"`, where there is one.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// One thing.
#[derive(ApiResponse)]
enum Found<T: Type> {
    /// As it is now.
    #[oai(status = 200)]
    Found(
        Streamed<T>,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// All that there is of something, whole.
#[derive(ApiResponse)]
enum Shown<T: poem_openapi::types::ToJSON> {
    /// As it is now.
    #[oai(status = 200)]
    Shown(Json<T>),
}

/// One thing that is new.
#[derive(ApiResponse)]
enum Created<T: Type> {
    /// It is on disk.
    #[oai(status = 201)]
    Created(
        Streamed<T>,
        /// Its URL.
        #[oai(header = "Location")]
        String,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// One thing that is gone.
#[derive(ApiResponse)]
enum Removed {
    /// It is gone.
    #[oai(status = 200)]
    Removed(Json<RemovedAnswer>),
}

impl Removed {
    fn done() -> Self {
        Self::Removed(Json(RemovedAnswer { result: true }))
    }
}

fn page(
    limit: Query<Limit>,
    after: Query<Id>,
    before: Query<Id>,
    order: Query<OneOf<Order>>,
) -> Page {
    Page {
        limit: limit.0.and_then(|it| u32::try_from(it.0).ok()),
        after: after.0.map(|id| id.0),
        before: before.0.map(|id| id.0),
        order: order.0.map_or_else(Order::default, |it| it.0),
    }
}

type Api = (
    tasks::Tasks,
    output::Output,
    instances::Instances,
    host_keys::HostKeys,
    check::Checks,
    audit::Audit,
    users::Users,
    tokens::Tokens,
    sessions::Sessions,
    identities::Identities,
    approvals::Approvals,
);

const DESCRIPTION: &str = "Runs scripts on remote machines over SSH. An **instance** is a machine, \
a **task** is one execution of a script on it.\n\nErrors are `application/problem+json` (RFC 9457). \
Members of a body that no operation knows are refused.";

/// Adds `/wsexec`, `/openapi.json` and `/docs`.
pub fn mount(route: Route, service: &Service) -> Route {
    let api = (
        tasks::Tasks(service.clone()),
        output::Output(service.clone()),
        instances::Instances(service.clone()),
        host_keys::HostKeys(service.clone()),
        check::Checks(service.clone()),
        audit::Audit(service.clone()),
        users::Users(service.clone()),
        tokens::Tokens(service.clone()),
        sessions::Sessions(service.clone()),
        identities::Identities(service.clone()),
        approvals::Approvals(service.clone()),
    );
    let api: OpenApiService<Api, ()> =
        OpenApiService::new(api, "WSEXEC", env!("CARGO_PKG_VERSION"))
            .description(DESCRIPTION)
            .server("/");
    let (json, html) = (document::tidy(&api.spec()), api.swagger_ui_html());
    route
        .at(
            "/openapi.json",
            with_allow(document::json(json), allow::methods),
        )
        .at("/docs", with_allow(document::page(html), allow::methods))
        .nest_no_strip("/wsexec", with_allow(api.into_endpoint(), allow::methods))
}
