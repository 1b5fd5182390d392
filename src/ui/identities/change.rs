use super::id_of;
use super::typed::Typed;
use crate::domain::{Identity, IdentityId, IdentityKind, Result as Outcome};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, if_version};
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Serialize;

#[derive(Template)]
#[template(path = "pages/identities/edit.html")]
struct EditPage {
    shell: Shell,
    typed: Typed,
    /// As it is.
    now: Identity,
    problems: Problems,
    terminal: Terminal,
}

/// A body of the API that says what the form says, its secret apart.
#[derive(Serialize)]
struct Body<'a> {
    scope: Vec<String>,
    host_keys: &'a [String],
}

impl EditPage {
    fn make(
        actor: &Actor,
        base: &str,
        typed: Typed,
        (now, problems): (Identity, Problems),
    ) -> Self {
        let body = Body {
            scope: now.scope.rules(),
            host_keys: &now.host_keys,
        };
        let path = format!("/wsexec/identities/{}", now.id);
        let terminal = Terminal::of(base, actor).send("Change it", ("PUT", path), &body);
        Self {
            shell: Shell::of(actor, Section::Identities),
            typed,
            now,
            problems,
            terminal,
        }
    }
}

#[handler]
pub async fn edit(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
) -> Result<Response> {
    let now = service.identity(&actor, id_of(&id)?).await?;
    // Better asked before a secret is typed than after: it is not kept meanwhile.
    service.require_confirmed(&actor, Action::ManageIdentities)?;
    let typed = Typed::of(&now);
    let seen = (now, Problems::default());
    page::html(&EditPage::make(&actor, &base, typed, seen))
}

#[handler]
pub async fn save(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(mut typed): Form<Typed>,
) -> Result<Response> {
    let id = id_of(&id)?;
    service.require_confirmed(&actor, Action::ManageIdentities)?;
    let error = match put(service, &actor, id, &typed).await {
        Ok(()) => return Ok(page::see(format!("/identities/{id}"))),
        Err(error) => error,
    };
    let (status, problems) = Problems::of(error)?;
    let now = service.identity(&actor, id).await?;
    if matches!(problems.general, Some(Problem::Changed)) {
        // The page says what it is now; saving again is then a decision.
        typed.version = now.version.to_string();
    }
    let page = EditPage::make(&actor, &base, typed, (now, problems));
    page::html_with(status, &page)
}

async fn put(service: &Service, actor: &Actor, id: IdentityId, typed: &Typed) -> Outcome<()> {
    let change = typed.change()?;
    let seen = if_version(&typed.version);
    service
        .change_identity(actor, id, change, Some(seen))
        .await?;
    Ok(())
}
