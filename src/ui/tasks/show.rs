use super::{Look, how, id_of, instance_if_there};
use crate::domain::{Clock as _, Instance, State, Stream, SystemClock, Task, TaskId, random_token};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Service, TaskUpdate};
use crate::ui::curl::Curl;
use crate::ui::filters;
use crate::ui::form::{Empty, if_version, once};
use crate::ui::output::{Asked, Output, Taste};
use crate::ui::page::{self, Section, Shell};
use askama::Template;
use poem::http::HeaderMap;
use poem::web::{Data, Path, Query};
use poem::{Response, Result, handler};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest script that the curl line repeats, in bytes.
const REPEATED: usize = 4_000;

#[derive(Template)]
#[template(path = "pages/tasks/show.html")]
struct ShowPage {
    shell: Shell,
    instance: Option<Instance>,
    look: Look,
    duration: Option<i64>,
    output: Output,
    key: String,
    curls: Curls,
    task: Task,
    /// Whether its end, or its removal, is theirs to ask for.
    may_change: bool,
    may_run: bool,
    may_decide: bool,
    /// The last good run of the same script before it.
    good: Option<TaskId>,
}

/// What can be done with curl to this task.
struct Curls {
    read: Curl,
    cancel: Curl,
    /// None where the script, or what it reads, is too long for a line.
    again: Option<Curl>,
}

#[derive(Serialize)]
struct Cancel {
    state: &'static str,
}

#[derive(Serialize)]
struct Again<'a> {
    instance: i64,
    user: &'a str,
    name: &'a str,
    script: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tag: &'a str,
    #[serde(flatten)]
    how: Map<String, Value>,
}

impl Curls {
    fn of(base: &str, user: &str, task: &Task) -> Self {
        let path = format!("/wsexec/tasks/{}", task.id);
        let again = how::members(task).map(|how| Again {
            instance: task.instance.0,
            user: &task.user,
            name: &task.name,
            script: &task.script,
            tag: &task.tag,
            how,
        });
        Self {
            read: Curl::get(base, user, &path),
            cancel: Curl::get(base, user, &path).method("PUT").json(&Cancel {
                state: State::Abort.as_str(),
            }),
            again: again
                .filter(|_| task.script.len() + task.tag.len() <= REPEATED)
                .map(|again| Curl::get(base, user, "/wsexec/tasks").json(&again)),
        }
    }
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
        curls: Curls::of(&base, actor.name(), &task),
        may_change: actor.may_change(&task),
        may_run: actor.may(Action::RunTasks),
        may_decide: service.may_decide(&actor, &task),
        good: service.last_good_run(&actor, &task).await?.map(|it| it.id),
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
