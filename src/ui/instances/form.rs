use super::id_of;
use crate::domain::{
    Error, Field, IdentityKind, Instance, InstanceChange, InstanceFilter, InstanceId,
    InstanceState, Labels, Mode, NewInstance, Page, Result as Outcome, labels_from, random_token,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, if_version, lines, number, once};
use crate::ui::identities::offered as identities;
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::{Deserialize, Serialize};

/// The most instances that are offered as a jump; others are typed.
const OFFERED: u32 = 200;

#[derive(Template)]
#[template(path = "pages/instances/edit.html")]
struct EditPage {
    shell: Shell,
    typed: Typed,
    /// The instance as it is; none for a new one.
    now: Option<Instance>,
    /// What it may be reached through, to choose from.
    jumps: Vec<Instance>,
    /// Keys that may be logged in with, to choose from.
    keys: Vec<String>,
    problems: Problems,
    terminal: Terminal,
}

/// The form as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    key: String,
    version: String,
    ip: String,
    port: String,
    tag: String,
    state: String,
    jump: String,
    jump_user: String,
    mode: String,
    labels: String,
    identity: String,
    approval: String,
}

impl Typed {
    fn from(instance: &Instance) -> Self {
        Self {
            key: String::new(),
            version: instance.version.to_string(),
            ip: instance.ip.clone(),
            port: instance.port.to_string(),
            tag: instance.tag.clone(),
            state: instance.state.as_str().to_owned(),
            jump: instance.jump.map_or_else(String::new, |id| id.to_string()),
            jump_user: instance.jump_user.clone().unwrap_or_default(),
            mode: instance.mode.as_str().to_owned(),
            labels: instance
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}\n"))
                .collect(),
            identity: instance.identity.clone().unwrap_or_default(),
            approval: if instance.approval { "yes" } else { "" }.to_owned(),
        }
    }

    fn new_instance(&self) -> Outcome<NewInstance> {
        let mut wrong = Vec::new();
        let mut note = |field, message: &str| {
            wrong.push(Field {
                field,
                message: message.to_owned(),
            });
        };
        let port = number(&self.port).unwrap_or(Some(0_i64)).unwrap_or(22);
        let state = InstanceState::parse(&self.state).unwrap_or_else(|| {
            note("state".into(), "must be ACTIVE or DEACTIVATE");
            InstanceState::Active
        });
        let mode = Mode::parse(&self.mode);
        if mode.is_none() && !self.mode.is_empty() {
            note("mode".into(), "must be attached or detached");
        }
        let jump = number(&self.jump).unwrap_or_else(|message| {
            note("jump".into(), &message);
            None
        });
        let typed = self.labels.lines().map(str::trim);
        let labels = labels_from(typed.filter(|line| !line.is_empty()));
        let labels = labels.unwrap_or_else(|message| {
            note("labels".into(), &message);
            Labels::new()
        });
        let new = NewInstance {
            ip: self.ip.trim().to_owned(),
            tag: lines(&self.tag),
            state,
            // What does not fit is 0, which validation refuses.
            port: u16::try_from(port).unwrap_or(0),
            jump: jump.map(InstanceId),
            jump_user: Some(self.jump_user.trim().to_owned()).filter(|user| !user.is_empty()),
            mode: mode.unwrap_or_default(),
            labels,
            identity: Some(self.identity.trim().to_owned()).filter(|name| !name.is_empty()),
            approval: !self.approval.is_empty(),
        };
        if let Err(error) = new.validate() {
            wrong.extend_from_slice(error.invalid_fields());
        }
        if wrong.is_empty() {
            Ok(new)
        } else {
            Err(Error::fields(wrong))
        }
    }

    /// What differs from the instance. A text area cannot hold every line end: a tag that differs
    /// in those alone was not changed.
    fn change(&self, now: &Instance) -> Outcome<InstanceChange> {
        let new = self.new_instance()?;
        Ok(InstanceChange {
            tag: Some(new.tag).filter(|tag| *tag != lines(&now.tag)),
            ip: Some(new.ip),
            state: Some(new.state),
            port: Some(new.port),
            jump: Some(new.jump),
            jump_user: Some(new.jump_user),
            mode: Mode::parse(&self.mode),
            labels: Some(new.labels),
            identity: Some(new.identity),
            approval: Some(new.approval),
        })
    }

    fn says(&self) -> [&str; 10] {
        [
            &self.ip,
            &self.port,
            &self.tag,
            &self.state,
            &self.jump,
            &self.jump_user,
            &self.mode,
            &self.labels,
            &self.identity,
            &self.approval,
        ]
    }
}

#[derive(Serialize)]
struct Body<'a> {
    ip: &'a str,
    port: u16,
    tag: &'a str,
}

/// Who asks, and where the service is.
struct Seat<'a> {
    service: &'a Service,
    actor: &'a Actor,
    base: &'a str,
}

impl EditPage {
    async fn make(
        seat: &Seat<'_>,
        typed: Typed,
        now: Option<Instance>,
        problems: Problems,
    ) -> Outcome<Self> {
        let terminal = Terminal::of(seat.base, seat.actor);
        let terminal = match &now {
            None => {
                let body = Body {
                    ip: "192.0.2.10",
                    port: 22,
                    tag: "web server",
                };
                terminal.send("Add an instance", ("POST", "/wsexec/instances"), &body)
            }
            Some(instance) => {
                let path = format!("/wsexec/instances/{}", instance.id);
                let body = Body {
                    ip: &instance.ip,
                    port: instance.port,
                    tag: &instance.tag,
                };
                terminal.send("Change it", ("PUT", path), &body)
            }
        };
        let page = Page {
            limit: Some(OFFERED),
            ..Page::default()
        };
        let all = InstanceFilter::default();
        let mut jumps = seat.service.instances(seat.actor, &all, page).await?;
        jumps.retain(|it| now.as_ref().is_none_or(|now| it.id != now.id));
        Ok(Self {
            shell: Shell::of(seat.actor, Section::Instances),
            typed,
            now,
            jumps,
            keys: identities(seat.service, seat.actor, IdentityKind::SshKey).await?,
            problems,
            terminal,
        })
    }
}

#[handler]
pub async fn blank(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
) -> Result<Response> {
    actor.require(Action::ManageInstances)?;
    let typed = Typed {
        key: random_token().expose().to_owned(),
        port: "22".to_owned(),
        state: InstanceState::Active.as_str().to_owned(),
        mode: Mode::default().as_str().to_owned(),
        ..Typed::default()
    };
    let seat = Seat {
        service,
        actor: &actor,
        base: &base,
    };
    page::html(&EditPage::make(&seat, typed, None, Problems::default()).await?)
}

#[handler]
pub async fn create(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(mut typed): Form<Typed>,
) -> Result<Response> {
    let error = match post(service, &actor, &typed).await {
        Ok(path) => return Ok(page::see(path)),
        Err(error) => error,
    };
    let (status, problems) = Problems::of(error)?;
    if matches!(problems.general, Some(Problem::Reused)) {
        random_token().expose().clone_into(&mut typed.key);
    }
    let seat = Seat {
        service,
        actor: &actor,
        base: &base,
    };
    let page = EditPage::make(&seat, typed, None, problems).await?;
    page::html_with(status, &page)
}

async fn post(service: &Service, actor: &Actor, typed: &Typed) -> Outcome<String> {
    let new = typed.new_instance()?;
    let key = once(&typed.key, &typed.says())?;
    let instance = service.create_instance(actor, new, Some(key)).await?;
    Ok(format!("/instances/{}", instance.id))
}

#[handler]
pub async fn edit(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
) -> Result<Response> {
    let now = service.instance(&actor, id_of(&id)?).await?;
    actor.require(Action::ManageInstances)?;
    let seat = Seat {
        service,
        actor: &actor,
        base: &base,
    };
    let typed = Typed::from(&now);
    let page = EditPage::make(&seat, typed, Some(now), Problems::default());
    page::html(&page.await?)
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
    let error = match put(service, &actor, id, &typed).await {
        Ok(()) => return Ok(page::see(format!("/instances/{id}"))),
        Err(error) => error,
    };
    let (status, problems) = Problems::of(error)?;
    let now = service.instance(&actor, id).await?;
    if matches!(problems.general, Some(Problem::Changed)) {
        // The page says what it is now; saving again is then a decision.
        typed.version = now.version.to_string();
    }
    let seat = Seat {
        service,
        actor: &actor,
        base: &base,
    };
    let page = EditPage::make(&seat, typed, Some(now), problems).await?;
    page::html_with(status, &page)
}

async fn put(service: &Service, actor: &Actor, id: InstanceId, typed: &Typed) -> Outcome<()> {
    let now = service.instance(actor, id).await?;
    let change = typed.change(&now)?;
    let seen = if_version(&typed.version);
    service
        .change_instance(actor, id, change, Some(seen))
        .await?;
    Ok(())
}
