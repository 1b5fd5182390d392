//! Identities: the list, one with its public half, and the forms to make and to change one. No page
//! ever has a secret in it, not even the one that was just typed.

mod change;
mod typed;

pub use change::{edit, save};

use super::form::{Problems, if_version};
use super::page::{self, Section, Shell};
use crate::domain::{Error, Identity, IdentityId, IdentityKind, Order, Result as Outcome};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::paging::{Address, Cursor, Paged, asked};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::http::StatusCode;
use poem::web::{Data, Path, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;
use typed::Typed;

/// The most names that a form offers; others are typed.
const OFFERED: usize = 200;

/// The names of one kind that a form can offer; none for those who may not see which there are, who
/// can type the name that they were told.
///
/// # Errors
/// `Unavailable`.
pub async fn offered(service: &Service, actor: &Actor, kind: IdentityKind) -> Outcome<Vec<String>> {
    if !actor.may(Action::ReadIdentities) {
        return Ok(Vec::new());
    }
    let all = service.identities(actor).await?.into_iter();
    let of_kind = all.filter(|it| it.kind == kind);
    Ok(of_kind.map(|it| it.name).take(OFFERED).collect())
}

#[derive(Template)]
#[template(path = "pages/identities/list.html")]
struct ListPage {
    shell: Shell,
    paged: Paged<Identity>,
    asked: Asked,
    narrowed: bool,
    kinds: [IdentityKind; 3],
    may_change: bool,
    terminal: Terminal,
}

/// What the address of the list asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    q: String,
    kind: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Asked {
    fn is_kind(&self, kind: &IdentityKind) -> bool {
        self.kind == kind.as_str()
    }

    fn fits(&self) -> Outcome<impl Fn(&Identity) -> bool + use<>> {
        let kind = asked(&self.kind, IdentityKind::parse, "kind", "is not a kind")?;
        let part = self.q.to_lowercase();
        Ok(move |it: &Identity| {
            kind.is_none_or(|kind| it.kind == kind) && it.name.to_lowercase().contains(&part)
        })
    }

    fn address(&self) -> Address {
        let order = ("order", self.cursor.order());
        Address::new("/identities", [("q", &self.q), ("kind", &self.kind), order])
    }
}

#[derive(Template)]
#[template(path = "pages/identities/show.html")]
struct ShowPage {
    shell: Shell,
    identity: Identity,
    may_change: bool,
    problems: Problems,
    terminal: Terminal,
}

impl ShowPage {
    fn make(actor: &Actor, base: &str, identity: Identity, problems: Problems) -> Self {
        let path = format!("/wsexec/identities/{}", identity.id);
        let may_change = actor.may(Action::ManageIdentities);
        let mut terminal = Terminal::of(base, actor).get("Read it", &path);
        if may_change {
            let remove = ["identity", "remove", &identity.name];
            terminal = terminal.delete("Remove it", &path).or_there(remove);
        }
        Self {
            shell: Shell::of(actor, Section::Identities),
            identity,
            may_change,
            problems,
            terminal,
        }
    }
}

#[derive(Template)]
#[template(path = "pages/identities/new.html")]
struct NewPage {
    shell: Shell,
    typed: Typed,
    problems: Problems,
    terminal: Terminal,
}

impl NewPage {
    fn make(actor: &Actor, base: &str, typed: Typed, problems: Problems) -> Self {
        let example = [
            "--kind",
            "secret",
            "--scope",
            "deploy@web-*",
            "--file",
            "FILE",
        ];
        let add = ["identity", "add", "prod-db"].into_iter().chain(example);
        Self {
            shell: Shell::of(actor, Section::Identities),
            typed,
            problems,
            terminal: Terminal::of(base, actor)
                .send_file("Add an identity", "/wsexec/identities", "identity.json")
                .or_there(add)
                .or_there([
                    "identity",
                    "generate",
                    "deploy-key",
                    "--scope",
                    "deploy@web-*",
                ]),
        }
    }
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let turn = asked.cursor.turn(Order::Asc)?;
    let fits = asked.fits()?;
    let mut identities = service.identities(&actor).await?;
    identities.retain(|it| fits(it));
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Identities),
        paged: turn.of_all(identities, &asked.address(), |it| &it.name),
        narrowed: !asked.q.is_empty() || !asked.kind.is_empty(),
        kinds: IdentityKind::ALL,
        may_change: actor.may(Action::ManageIdentities),
        terminal: Terminal::of(&base, &actor)
            .get("List the identities", "/wsexec/identities")
            .or_there(["identity", "list"]),
        asked,
    })
}

#[handler]
pub async fn blank(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
) -> Result<Response> {
    // Better asked before a secret is typed than after: it is not kept meanwhile.
    service.require_confirmed(&actor, Action::ManageIdentities)?;
    let fresh = (Typed::default(), Problems::default());
    page::html(&NewPage::make(&actor, &base, fresh.0, fresh.1))
}

#[handler]
pub async fn create(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    service.require_confirmed(&actor, Action::ManageIdentities)?;
    let made = match typed.new_identity() {
        Ok(new) => service.create_identity(&actor, new).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(made) => Ok(page::see(format!("/identities/{}", made.id))),
        Err(error) => {
            let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
            page::html_with(status, &NewPage::make(&actor, &base, typed, problems))
        }
    }
}

#[handler]
pub async fn detail(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
) -> Result<Response> {
    let identity = service.identity(&actor, id_of(&id)?).await?;
    page::html(&ShowPage::make(
        &actor,
        &base,
        identity,
        Problems::default(),
    ))
}

/// Which version of an identity was seen.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Seen {
    version: String,
}

#[handler]
pub async fn delete(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(seen): Form<Seen>,
) -> Result<Response> {
    let (id, seen) = (id_of(&id)?, if_version(&seen.version));
    let error = match service.remove_identity(&actor, id, Some(seen)).await {
        Ok(()) => return Ok(page::see("/identities")),
        Err(error) => error,
    };
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    let identity = service.identity(&actor, id).await?;
    page::html_with(status, &ShowPage::make(&actor, &base, identity, problems))
}

/// The id in a path: what is no id is no identity.
fn id_of(path: &str) -> Outcome<IdentityId> {
    path.parse()
        .map(IdentityId)
        .map_err(|_| Error::not_found("There is no such identity."))
}
