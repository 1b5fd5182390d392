use crate::domain::{Error, Result as Outcome, SecondFactor, Secret};
use crate::http::{Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Empty, Problems};
use crate::ui::page::{self, Section, Shell};
use crate::ui::qr::Qr;
use askama::Template;
use poem::http::StatusCode;
use poem::web::Data;
use poem::{Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/account/second_factor.html")]
struct SetupPage {
    shell: Shell,
    factor: Option<SecondFactor>,
    told: Option<Told>,
    /// Why the server cannot keep one.
    impossible: Option<String>,
    problems: Problems,
}

/// What the authenticator is to be told.
struct Told {
    qr: Qr,
    secret: String,
}

#[derive(Template)]
#[template(path = "pages/recovery_codes.html")]
pub struct CodesPage {
    pub shell: Shell,
    pub codes: Vec<String>,
    pub next: String,
    /// Whether they come with a new authenticator.
    pub new: bool,
}

/// The first code, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    code: String,
}

impl SetupPage {
    async fn make(service: &Service, actor: &Actor, problems: Problems) -> Outcome<Self> {
        let factor = service.second_factor(actor).await?;
        let told = match &factor {
            Some(begun) if !begun.confirmed => service.enrolment(actor).await?,
            Some(_) | None => None,
        };
        let told = told.map(|it| {
            Ok::<_, Error>(Told {
                qr: Qr::of(&it.url)?,
                secret: it.secret.expose().to_owned(),
            })
        });
        Ok(Self {
            shell: Shell::of(actor, Section::Account),
            factor,
            told: told.transpose()?,
            impossible: service.require_vault().await.err().map(|it| it.to_string()),
            problems,
        })
    }
}

#[handler]
pub async fn setup(Caller(actor): Caller, Data(service): Data<&Service>) -> Result<Response> {
    service.require_confirmed(&actor, Action::OwnAccount)?;
    page::html(&SetupPage::make(service, &actor, Problems::default()).await?)
}

#[handler]
pub async fn begin(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    match service.begin_second_factor(&actor).await {
        Ok(()) => Ok(page::see("/account/second_factor")),
        Err(error) => show_again(service, &actor, error).await,
    }
}

#[handler]
pub async fn confirm(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    match service.confirm_second_factor(&actor, &typed.code).await {
        Ok(codes) => show_codes(&actor, &codes, true),
        Err(error) => show_again(service, &actor, error).await,
    }
}

#[handler]
pub async fn renew(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    match service.renew_recovery_codes(&actor).await {
        Ok(codes) => show_codes(&actor, &codes, false),
        Err(error) => show_again(service, &actor, error).await,
    }
}

#[handler]
pub async fn remove(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    match service.remove_second_factor(&actor).await {
        Ok(()) => Ok(page::see("/account#second-factor")),
        Err(error) => show_again(service, &actor, error).await,
    }
}

async fn show_again(service: &Service, actor: &Actor, error: Error) -> Result<Response> {
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    let page = SetupPage::make(service, actor, problems).await?;
    page::html_with(status, &page)
}

fn show_codes(actor: &Actor, codes: &[Secret], new: bool) -> Result<Response> {
    page::html(&CodesPage {
        shell: Shell::of(actor, Section::Account),
        codes: codes.iter().map(|it| it.expose().to_owned()).collect(),
        next: "/account#second-factor".to_owned(),
        new,
    })
}
