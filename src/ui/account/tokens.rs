use super::Which;
use crate::domain::{
    Error, Expiry, Field, Result as Outcome, Role, Scope, Token, TokenId, TokenRequest,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Problems, number};
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::Data;
use poem::{Response, Result, handler};
use serde::Deserialize;
use serde_json::json;

const DAY: i64 = 24 * 60 * 60;

#[derive(Template)]
#[template(path = "pages/account/token_new.html")]
struct NewPage {
    shell: Shell,
    typed: Typed,
    roles: Vec<Role>,
    most_days: i64,
    problems: Problems,
    terminal: Terminal,
}

#[derive(Template)]
#[template(path = "pages/account/token_made.html")]
struct MadePage {
    shell: Shell,
    token: Token,
    text: String,
    base: String,
}

/// The form as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    name: String,
    role: String,
    scope: String,
    days: String,
}

impl Typed {
    fn request(&self) -> Outcome<TokenRequest> {
        let mut wrong = Vec::new();
        let mut note = |field, message: String| wrong.push(Field { field, message });
        let scope = Scope::parse(self.scope.split_whitespace()).unwrap_or_else(|message| {
            note("scope".into(), message);
            Scope::default()
        });
        let days: Option<i64> = number(&self.days).unwrap_or_else(|message| {
            note("expires".into(), message);
            None
        });
        let role = Role::parse(&self.role);
        if role.is_none() {
            note("role".into(), "must be chosen".into());
        }
        if !wrong.is_empty() {
            return Err(Error::fields(wrong));
        }
        Ok(TokenRequest {
            name: self.name.trim().to_owned(),
            role,
            scope,
            expires: days.map(|days| Expiry::In(days.saturating_mul(DAY))),
        })
    }
}

fn new_page((actor, base): (&Actor, &str), typed: Typed, problems: Problems) -> NewPage {
    let body = json!({"name": "nightly", "role": "runner", "expires_in": 30 * DAY});
    let make = ["token", "create", actor.name(), "nightly"];
    let limits = ["--role", "runner", "--days", "30"];
    let roles = [Role::Admin, Role::Operator, Role::Runner, Role::Viewer];
    NewPage {
        shell: Shell::of(actor, Section::Account),
        typed,
        roles: roles.into_iter().filter(|it| *it >= actor.role()).collect(),
        most_days: TokenRequest::LONGEST / DAY,
        problems,
        terminal: Terminal::of(base, actor)
            .send("Make a token", ("POST", "/wsexec/tokens"), &body)
            .or_there(make.into_iter().chain(limits)),
    }
}

#[handler]
pub async fn blank(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
) -> Result<Response> {
    service.require_confirmed(&actor, Action::OwnAccount)?;
    let typed = Typed {
        role: actor.role().as_str().to_owned(),
        days: (TokenRequest::USUAL / DAY).to_string(),
        ..Typed::default()
    };
    page::html(&new_page((&actor, &base), typed, Problems::default()))
}

#[handler]
pub async fn create(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let made = match typed.request() {
        Ok(request) => service.create_token(&actor, None, request).await,
        Err(error) => Err(error),
    };
    match made {
        Ok((token, text)) => page::html(&MadePage {
            shell: Shell::of(&actor, Section::Account),
            base,
            token,
            text: text.expose().to_owned(),
        }),
        Err(error) => {
            let (status, problems) = Problems::of(error)?;
            page::html_with(status, &new_page((&actor, &base), typed, problems))
        }
    }
}

#[handler]
pub async fn revoke(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(which): Form<Which>,
) -> Result<Response> {
    service.revoke_token(&actor, TokenId(which.id)).await?;
    Ok(page::see("/account#tokens"))
}
