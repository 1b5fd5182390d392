use super::post::post;
use super::{Look, id_of, instance_if_there};
use crate::domain::{
    Attempt, Clock as _, Instance, NewTask, State, Stream, SystemClock, Task, TaskId, random_token,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service, TaskUpdate};
use crate::ui::filters;
use crate::ui::form::{Empty, if_version, once};
use crate::ui::output::{Asked, Output, Taste};
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::http::HeaderMap;
use poem::web::{Data, Path, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;
use serde_json::json;

#[derive(Template)]
#[template(path = "pages/tasks/show.html")]
struct ShowPage {
    shell: Shell,
    instance: Option<Instance>,
    look: Look,
    duration: Option<i64>,
    output: Output,
    key: String,
    terminal: Terminal,
    task: Task,
    /// Whether its end, or its removal, is theirs to ask for.
    may_change: bool,
    may_run: bool,
    may_decide: bool,
    /// The last good run of the same script before it.
    good: Option<TaskId>,
    /// Runs that could not begin, before the last one.
    attempts: Vec<Attempt>,
}

/// What can be done to a task from a terminal.
fn terminal(with: Terminal, service: &Service, actor: &Actor, task: &Task) -> Terminal {
    let path = format!("/wsexec/tasks/{}", task.id);
    let mut with = with.get("Read this task", &path);
    if service.may_decide(actor, task) {
        let body = json!({"decision": "approve", "comment": "reviewed"});
        with = with.send("Approve it", ("PUT", format!("{path}/approval")), &body);
    }
    if actor.may_change(task) {
        with = if task.state.has_ended() {
            let body = json!({"rc": task.rc});
            let with = with.send("Amend it", ("PUT", &path), &body);
            match task.pinned {
                true => with,
                false => with.delete("Delete it", &path),
            }
        } else {
            let body = json!({"state": State::Abort.as_str()});
            with.send("Cancel it", ("PUT", &path), &body)
        };
        let what = if task.pinned { "Unpin it" } else { "Pin it" };
        with = with.send(what, ("PUT", &path), &json!({"pinned": !task.pinned}));
    }
    if actor.may(Action::RunTasks) && task.stdin_bytes == 0 {
        with = post(with, "Run it again", &NewTask::again(task.clone(), None));
    }
    with
}

#[handler]
pub async fn detail(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: &HeaderMap,
) -> Result<Response> {
    let task = service.task(&actor, id_of(&id)?).await?;
    let (taste, is_new) = Taste::of(headers, &asked);
    let output = if asked.output == "none" {
        Output::none(taste)
    } else {
        Output::read(service, &actor, &task, &asked, taste).await?
    };
    let mut response = page::html(&ShowPage {
        shell: Shell::of(&actor, Section::Tasks),
        instance: instance_if_there(service, &actor, task.instance).await?,
        look: Look::of(&task),
        duration: task.duration(SystemClock.now()),
        output,
        key: random_token().expose().to_owned(),
        terminal: terminal(Terminal::of(&base, &actor), service, &actor, &task),
        may_change: actor.may_change(&task),
        may_run: actor.may(Action::RunTasks),
        may_decide: service.may_decide(&actor, &task),
        good: service.last_good_run(&actor, &task).await?.map(|it| it.id),
        attempts: match task.attempt {
            0 | 1 => Vec::new(),
            _ => service.attempts(&actor, task.id).await?,
        },
        task,
    })?;
    if is_new {
        taste.remember(&mut response);
    }
    Ok(response)
}

#[handler]
pub async fn cancel(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(Empty {}): Form<Empty>,
) -> Result<Response> {
    let update = TaskUpdate {
        state: Some(State::Abort),
        ..TaskUpdate::default()
    };
    let task = service
        .update_task(&actor, id_of(&id)?, update, None)
        .await?;
    Ok(page::see(format!("/tasks/{}", task.id)))
}

/// What the buttons to pin and to unpin send.
#[derive(Deserialize)]
pub struct Pin {
    pinned: bool,
}

#[handler]
pub async fn pin(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(Pin { pinned }): Form<Pin>,
) -> Result<Response> {
    let update = TaskUpdate {
        pinned: Some(pinned),
        ..TaskUpdate::default()
    };
    let task = service
        .update_task(&actor, id_of(&id)?, update, None)
        .await?;
    Ok(page::see(format!("/tasks/{}", task.id)))
}

/// The hidden fields of the small forms on a task's page.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Hidden {
    key: String,
    version: String,
}

#[handler]
pub async fn rerun(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(hidden): Form<Hidden>,
) -> Result<Response> {
    let key = once(&hidden.key, &["rerun", &id])?;
    let again = service.rerun_task(&actor, id_of(&id)?, Some(key)).await?;
    Ok(page::see(format!("/tasks/{}", again.id)))
}

#[handler]
pub async fn delete(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(hidden): Form<Hidden>,
) -> Result<Response> {
    let seen = if_version(&hidden.version);
    service.remove_task(&actor, id_of(&id)?, Some(seen)).await?;
    Ok(page::see("/tasks"))
}
