use super::id_of;
use crate::domain::{
    Clock as _, Error, Field, NewUser, Result as Outcome, Role, Scope, Secret, Session,
    SystemClock, Token, User, UserChange, UserId,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, if_version};
use crate::ui::kept;
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::http::StatusCode;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;
use serde_json::json;

const ROLES: [Role; 4] = [Role::Admin, Role::Operator, Role::Runner, Role::Viewer];

#[derive(Template)]
#[template(path = "pages/users/new.html")]
struct NewPage {
    shell: Shell,
    typed: Typed,
    roles: [Role; 4],
    /// Whether somebody without a password may log in at a provider.
    openid: bool,
    problems: Problems,
    terminal: Terminal,
}

impl NewPage {
    fn make(
        service: &Service,
        (actor, base): (&Actor, &str),
        typed: Typed,
        problems: Problems,
    ) -> Self {
        let add = ["user", "add", "olga", "--role", "operator"];
        Self {
            shell: Shell::of(actor, Section::Users),
            typed,
            roles: ROLES,
            openid: service.openid_name().is_some(),
            problems,
            terminal: Terminal::of(base, actor)
                .send_file("Add a user", "/wsexec/users", "user.json")
                .or_there(add.into_iter().chain(["--scope", "deploy@web-*"])),
        }
    }
}

#[derive(Template)]
#[template(path = "pages/users/show.html")]
struct ShowPage {
    shell: Shell,
    user: User,
    typed: Typed,
    roles: [Role; 4],
    sessions: Vec<Session>,
    /// The id of the session that looks at it.
    own: i64,
    tokens: Vec<Token>,
    now: i64,
    problems: Problems,
    terminal: Terminal,
}

/// What can be done to a user from a terminal.
fn terminal(with: Terminal, user: &User) -> Terminal {
    let path = format!("/wsexec/users/{}", user.id);
    let name = user.name.as_str();
    let (role, rules) = (user.role.as_str(), user.scope.rules());
    let body = json!({"role": role, "scope": rules, "disabled": user.disabled});
    let login = if user.disabled {
        "--disable"
    } else {
        "--enable"
    };
    let change = ["user", "change", name, "--role", role, login];
    let scope = rules.iter().flat_map(|it| ["--scope", it]);
    with.get("Read this user", &path)
        .send("Change it", ("PUT", &path), &body)
        .or_there(change.into_iter().chain(scope))
        .command("Set the password")
        .or_there(["user", "passwd", name])
        .delete("Remove it", &path)
        .or_there(["user", "remove", name])
}

/// The form as it was typed; but a password is never shown again.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    name: String,
    role: String,
    scope: String,
    disabled: String,
    password: String,
    subject: String,
    version: String,
    /// Names of secrets that were typed and not kept; see [`crate::ui::kept`].
    dropped: String,
}

impl Typed {
    fn from(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            role: user.role.as_str().to_owned(),
            scope: user.scope.rules().join("\n"),
            disabled: if user.disabled { "on" } else { "" }.to_owned(),
            password: String::new(),
            subject: user.subject.clone().unwrap_or_default(),
            version: user.version.to_string(),
            dropped: String::new(),
        }
    }

    fn rights(&self) -> Outcome<(Role, Scope)> {
        let mut wrong = Vec::new();
        let mut note = |field, message: String| wrong.push(Field { field, message });
        let role = Role::parse(&self.role).unwrap_or_else(|| {
            note("role".into(), "must be chosen".into());
            Role::Viewer
        });
        let scope = Scope::parse(self.scope.split_whitespace()).unwrap_or_else(|message| {
            note("scope".into(), message);
            Scope::default()
        });
        match wrong.is_empty() {
            true => Ok((role, scope)),
            false => Err(Error::fields(wrong)),
        }
    }

    fn subject(&self) -> Option<String> {
        let subject = self.subject.trim();
        (!subject.is_empty()).then(|| subject.to_owned())
    }

    fn new_user(&self) -> Outcome<NewUser> {
        let (role, scope) = self.rights()?;
        if let Some(message) = kept::is_missing(&self.dropped, &self.password) {
            return Err(Error::field("password", message));
        }
        Ok(NewUser {
            name: self.name.trim().to_owned(),
            role,
            scope,
            password: Some(self.password.as_str())
                .filter(|it| !it.is_empty())
                .map(Secret::new),
            subject: self.subject(),
        })
    }

    /// What differs from the user: what has not changed ends nothing.
    fn change(&self, now: &User) -> Outcome<UserChange> {
        let (role, scope) = self.rights()?;
        let disabled = !self.disabled.is_empty();
        Ok(UserChange {
            role: Some(role).filter(|it| *it != now.role),
            scope: Some(scope).filter(|it| *it != now.scope),
            disabled: Some(disabled).filter(|it| *it != now.disabled),
            subject: Some(self.subject()).filter(|it| *it != now.subject),
        })
    }
}

impl ShowPage {
    /// Where a small form of the page is sent.
    fn target(&self, act: &str) -> String {
        format!("/users/{}/{act}", self.user.id)
    }

    async fn make(
        service: &Service,
        (actor, base): (&Actor, &str),
        id: UserId,
        (typed, problems): (Option<Typed>, Problems),
    ) -> Outcome<Self> {
        let user = service.user(actor, id).await?;
        Ok(Self {
            shell: Shell::of(actor, Section::Users),
            typed: typed.unwrap_or_else(|| Typed::from(&user)),
            roles: ROLES,
            sessions: service.sessions(actor, Some(id)).await?,
            own: actor.session().map_or(0, |it| it.0),
            tokens: service.tokens(actor, Some(id)).await?,
            now: SystemClock.now(),
            problems,
            terminal: terminal(Terminal::of(base, actor), &user),
            user,
        })
    }
}

#[handler]
pub async fn blank(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
) -> Result<Response> {
    service.require_confirmed(&actor, Action::ManageUsers)?;
    let typed = Typed {
        role: Role::Runner.as_str().to_owned(),
        ..Typed::default()
    };
    let fresh = Problems::default();
    page::html(&NewPage::make(service, (&actor, &base), typed, fresh))
}

#[handler]
pub async fn create(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let made = match typed.new_user() {
        Ok(new) => service.create_user(&actor, new).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(user) => Ok(page::see(format!("/users/{}", user.id))),
        Err(error) => {
            let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
            let page = NewPage::make(service, (&actor, &base), typed, problems);
            page::html_with(status, &page)
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
    // Its forms are dangerous: better asked before they are filled in than after.
    service.require_confirmed(&actor, Action::ManageUsers)?;
    let fresh = (None, Problems::default());
    page::html(&ShowPage::make(service, (&actor, &base), id_of(&id)?, fresh).await?)
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
    let now = service.user(&actor, id).await?;
    let saved = match typed.change(&now) {
        Ok(change) => {
            let seen = if_version(&typed.version);
            service.change_user(&actor, id, change, Some(seen)).await
        }
        Err(error) => Err(error),
    };
    let error = match saved {
        Ok(_) => return Ok(page::see(format!("/users/{id}"))),
        Err(error) => error,
    };
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    if matches!(problems.general, Some(Problem::Changed)) {
        typed.version = now.version.to_string();
    }
    let page = ShowPage::make(service, (&actor, &base), id, (Some(typed), problems)).await?;
    page::html_with(status, &page)
}

/// The user's page with what was wrong in one of its small forms.
pub async fn show_again(
    service: &Service,
    seat: (&Actor, &str),
    id: UserId,
    error: Error,
) -> Result<Response> {
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    let page = ShowPage::make(service, seat, id, (None, problems)).await?;
    page::html_with(status, &page)
}
