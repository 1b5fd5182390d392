use super::id_of;
use crate::domain::Error;
use crate::domain::{
    HostKeyEvent, Instance, InstanceChange, InstanceState, Order, Page, RevokedKey, TaskFilter,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::if_version;
use crate::ui::page::{self, Section, Shell};
use crate::ui::tasks::{Row, rows};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;
use serde_json::json;

const LATEST: u32 = 20;

#[derive(Template)]
#[template(path = "pages/instances/show.html")]
struct ShowPage {
    shell: Shell,
    rows: Vec<Row>,
    terminal: Terminal,
    /// The user to check with: the one of the latest task here.
    user: String,
    instance: Instance,
    revoked: Vec<RevokedKey>,
    history: Vec<HostKeyEvent>,
    may_run: bool,
    may_manage: bool,
    may_review: bool,
}

impl ShowPage {
    fn is_revoked(&self, fingerprint: &str) -> bool {
        self.revoked
            .iter()
            .any(|key| key.fingerprint == fingerprint)
    }

    fn is_on_record(&self, fingerprint: &str) -> bool {
        let key = self.instance.host_key.as_ref();
        key.is_some_and(|key| key.fingerprint == fingerprint)
    }

    fn is_active(&self) -> bool {
        self.instance.state == InstanceState::Active
    }
}

/// What can be done to an instance from a terminal.
fn terminal(with: Terminal, actor: &Actor, instance: &Instance) -> Terminal {
    let path = format!("/wsexec/instances/{}", instance.id);
    let mut with = with.get("Read this instance", &path);
    if actor.may(Action::ManageInstances) {
        let (does, other) = match instance.state {
            InstanceState::Active => ("Deactivate it", InstanceState::Deactivate),
            InstanceState::Deactivate => ("Activate it", InstanceState::Active),
        };
        let body = json!({"state": other.as_str()});
        with = with.send(does, ("PUT", &path), &body);
    }
    if actor.may(Action::ReviewHostKeys) {
        let review = format!("{path}/host_key");
        with = with.get("Read its host key", &review);
        if let (Some(shown), None) = (&instance.shown_key, &instance.host_key) {
            let body = json!({"action": "approve", "fingerprint": shown.key.fingerprint});
            with = with.send("Approve the key shown", ("PUT", &review), &body);
        }
    }
    if actor.may(Action::RunTasks) {
        let body = json!({"user": "deploy"});
        with = with.send("Check it", ("POST", format!("{path}/check")), &body);
    }
    if actor.may(Action::ManageInstances) {
        with = with.delete("Delete it", &path);
    }
    with
}

#[handler]
pub async fn detail(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
) -> Result<Response> {
    let instance = service.instance(&actor, id_of(&id)?).await?;
    let here = TaskFilter {
        instance: Some(instance.id),
        ..TaskFilter::default()
    };
    let page = Page {
        limit: Some(LATEST),
        order: Order::Desc,
        ..Page::default()
    };
    let (tasks, _) = service.tasks_soon(&actor, &here, page).await?;
    let key = service.host_key(&actor, instance.id).await?;
    let terminal = terminal(Terminal::of(&base, &actor), &actor, &instance);
    page::html(&ShowPage {
        shell: Shell::of(&actor, Section::Instances),
        user: tasks
            .first()
            .map_or_else(String::new, |task| task.user.clone()),
        rows: rows(service, &actor, tasks).await?,
        may_run: actor.may(Action::RunTasks),
        may_manage: actor.may(Action::ManageInstances),
        may_review: actor.may(Action::ReviewHostKeys),
        revoked: key.revoked,
        history: key.history,
        terminal,
        instance,
    })
}

/// The hidden fields of the small forms on an instance's page.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Hidden {
    state: String,
    version: String,
}

#[handler]
pub async fn set_state(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(hidden): Form<Hidden>,
) -> Result<Response> {
    let state = InstanceState::parse(&hidden.state)
        .ok_or_else(|| Error::field("state", "must be ACTIVE or DEACTIVATE"))?;
    let change = InstanceChange {
        state: Some(state),
        ..InstanceChange::default()
    };
    let instance = service
        .change_instance(&actor, id_of(&id)?, change, None)
        .await?;
    Ok(page::see(format!("/instances/{}", instance.id)))
}

#[handler]
pub async fn delete(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(hidden): Form<Hidden>,
) -> Result<Response> {
    let seen = if_version(&hidden.version);
    service
        .remove_instance(&actor, id_of(&id)?, Some(seen))
        .await?;
    Ok(page::see("/instances"))
}
