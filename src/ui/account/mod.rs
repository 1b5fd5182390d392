//! What is somebody's own: password, second factor, sessions, API tokens.

mod password;
mod second_factor;
mod tokens;

pub use password::change;
pub use second_factor::{CodesPage, begin, confirm, remove, renew, setup};
pub use tokens::{blank, create, revoke};

use super::form::{Empty, Problems};
use super::page::{self, Section, Shell};
use crate::domain::{
    Clock as _, Error, Result as Outcome, SecondFactor, Session, SessionId, SystemClock, Token,
    User,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Actor, Service};
use crate::ui::filters;
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::http::StatusCode;
use poem::web::Data;
use poem::{Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/account/show.html")]
struct AccountPage {
    shell: Shell,
    user: User,
    factor: Option<SecondFactor>,
    sessions: Vec<Session>,
    /// The id of the session that looks at it.
    own: i64,
    tokens: Vec<Token>,
    now: i64,
    problems: Problems,
    terminal: Terminal,
}

/// What can be done with what is one's own from a terminal.
fn terminal(base: &str, actor: &Actor) -> Terminal {
    let name = actor.name();
    Terminal::of(base, actor)
        .get("List your tokens", "/wsexec/tokens")
        .or_there(["token", "list"])
        .delete("Revoke a token", "/wsexec/tokens/1")
        .or_there(["token", "revoke", "1"])
        .get("List your sessions", "/wsexec/sessions")
        .or_there(["session", "list"])
        .delete("End a session", "/wsexec/sessions/1")
        .or_there(["session", "end", "1"])
        .command("Set the password")
        .or_there(["user", "passwd", name])
}

impl AccountPage {
    async fn make(
        service: &Service,
        (actor, base): (&Actor, &str),
        problems: Problems,
    ) -> Outcome<Self> {
        Ok(Self {
            shell: Shell::of(actor, Section::Account),
            user: service.own_user(actor).await?,
            factor: service.second_factor(actor).await?,
            sessions: service.sessions(actor, None).await?,
            own: actor.session().map_or(0, |it| it.0),
            tokens: service.tokens(actor, None).await?,
            now: SystemClock.now(),
            problems,
            terminal: terminal(base, actor),
        })
    }
}

#[handler]
pub async fn show(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
) -> Result<Response> {
    page::html(&AccountPage::make(service, (&actor, &base), Problems::default()).await?)
}

/// The page with what was wrong in one of its forms.
async fn show_again(service: &Service, seat: (&Actor, &str), error: Error) -> Result<Response> {
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    let page = AccountPage::make(service, seat, problems).await?;
    page::html_with(status, &page)
}

/// The hidden field of the small forms.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Which {
    pub id: i64,
}

#[handler]
pub async fn end_session(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(which): Form<Which>,
) -> Result<Response> {
    service.end_session(&actor, SessionId(which.id)).await?;
    Ok(page::see("/account#sessions"))
}

#[handler]
pub async fn end_others(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    for session in service.sessions(&actor, None).await? {
        if Some(session.id) != actor.session() {
            service.end_session(&actor, session.id).await?;
        }
    }
    Ok(page::see("/account#sessions"))
}
