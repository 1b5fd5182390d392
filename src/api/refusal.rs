use crate::domain;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use std::marker::PhantomData;

/// What an operation answers: `T`, or a problem with one of the statuses that `S` lists.
pub type Answer<T, S> = Result<T, Refused<S>>;

/// An error on its way out, with the statuses that the document shows for its operation.
pub struct Refused<S>(poem::Error, PhantomData<fn() -> S>);

/// The statuses that an operation may refuse with, beside [`COMMON`].
pub trait Statuses {
    /// The statuses.
    const STATUSES: &'static [u16];
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident: $($status:literal),+;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Statuses for $name {
            const STATUSES: &'static [u16] = &[$($status),+];
        }
    )+};
}

statuses! {
    /// A list.
    List: 400;
    /// One thing is read.
    Read: 400, 404;
    /// An instance is declared.
    Declare: 400, 404, 408, 409, 413, 415, 422;
    /// A task is posted.
    Post: 400, 404, 408, 409, 413, 415, 422;
    /// One thing is tried out.
    Try: 400, 404, 408, 413, 415;
    /// One thing is changed.
    Change: 400, 404, 408, 409, 412, 413, 415;
    /// One thing is removed.
    Remove: 400, 404, 409, 412;
    /// A user or a token is made.
    Add: 400, 404, 408, 409, 413, 415;
    /// What is one's own is changed.
    Own: 400, 404, 408, 413, 415;
    /// A token or a session is ended.
    Revoke: 400, 404;
    /// Raw output is read.
    Raw: 400, 404, 409, 416;
}

/// What every operation may refuse with.
const COMMON: [u16; 5] = [401, 403, 429, 500, 503];

fn description(status: u16) -> &'static str {
    match status {
        400 => "A parameter or a member of the body is wrong; `errors` names each.",
        401 => "No login, or a wrong one.",
        403 => "This user may not do this, or the request comes from another site.",
        404 => "There is no such thing, or it may not be seen.",
        408 => "The body came too slowly.",
        409 => "What there is forbids it.",
        412 => "Somebody else was faster: none of the versions in `If-Match` is the present one.",
        413 => "The body is larger than the limit.",
        415 => "The body is not `application/json`.",
        416 => "The output does not have these bytes.",
        422 => "This `Idempotency-Key` came before with another body.",
        429 => "Too many wrong passwords, logins or checks at once.",
        500 => "The server failed; its log has the request id.",
        503 => "The store is full, busy or failing, or the server stops.",
        _ => "",
    }
}

/// What is wrong, as RFC 9457 has it.
#[derive(Object)]
#[oai(rename = "Problem")]
struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: String,
    /// The same in a few words.
    title: String,
    /// The status of this answer.
    status: u16,
    /// What happened this time, for a person.
    detail: String,
    /// Finds this request in the server's log.
    request_id: Option<String>,
    /// A short phrase, for clients of the service that this one replaces.
    error: String,
    /// What is wrong with which member or parameter; there for status 400 alone.
    errors: Option<Vec<FieldProblem>>,
}

/// One member or parameter that is wrong.
#[derive(Object)]
struct FieldProblem {
    /// The name of the member or parameter.
    field: String,
    /// What is wrong and what would be right.
    message: String,
}

impl<S> From<domain::Error> for Refused<S> {
    fn from(error: domain::Error) -> Self {
        poem::Error::from(error).into()
    }
}

impl<S> From<poem::Error> for Refused<S> {
    fn from(error: poem::Error) -> Self {
        Self(error, PhantomData)
    }
}

impl<S> From<Refused<S>> for poem::Error {
    fn from(refused: Refused<S>) -> Self {
        refused.0
    }
}

impl<S: Statuses> ApiResponse for Refused<S> {
    fn meta() -> MetaResponses {
        let mut statuses = [&COMMON[..], S::STATUSES].concat();
        statuses.sort_unstable();
        MetaResponses {
            responses: statuses.into_iter().map(response).collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

fn response(status: u16) -> MetaResponse {
    let headers = match status {
        401 => vec![header::<String>(
            "WWW-Authenticate",
            "How to log in; left out for browsers.",
        )],
        416 => vec![header::<String>(
            "Content-Range",
            "`bytes */` and how many bytes there are.",
        )],
        429 | 503 => vec![header::<u32>(
            "Retry-After",
            "When to try again, in seconds.",
        )],
        _ => Vec::new(),
    };
    MetaResponse {
        description: description(status),
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/problem+json",
            schema: Problem::schema_ref(),
        }],
        headers,
    }
}

/// How the document describes a header of an answer.
pub fn header<T: Type>(name: &str, description: &str) -> MetaHeader {
    MetaHeader {
        name: name.into(),
        description: Some(description.into()),
        required: false,
        deprecated: false,
        schema: T::schema_ref(),
    }
}
