//! Changes of a result after the end: what the API takes as a PUT on a task that has ended.

use super::id_of;
use crate::domain::{Amendment, Error, Result as Outcome, Task};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Actor, Service, TaskUpdate};
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, if_version, lines, number};
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::Deserialize;
use serde_json::json;

#[derive(Template)]
#[template(path = "pages/tasks/amend.html")]
struct AmendPage {
    shell: Shell,
    typed: Typed,
    /// The task as it is.
    task: Task,
    problems: Problems,
    terminal: Terminal,
}

/// The form as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    version: String,
    name: String,
    tag: String,
    rc: String,
    /// What to show from now on; what is empty stays as it is.
    stdout: String,
    stderr: String,
}

impl Typed {
    fn from(task: &Task) -> Self {
        Self {
            version: task.version.to_string(),
            name: task.name.clone(),
            tag: task.tag.clone(),
            rc: task.rc.map(|rc| rc.to_string()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// What differs from the task. A text area cannot hold every line end: a description that
    /// differs in those alone was not changed.
    fn amendment(&self, now: &Task) -> Outcome<Amendment> {
        let rc = number(&self.rc).map_err(|message| Error::field("rc", message))?;
        let output = |typed: &String| Some(lines(typed)).filter(|text| !text.is_empty());
        Ok(Amendment {
            name: Some(self.name.clone()),
            tag: Some(lines(&self.tag)).filter(|tag| *tag != lines(&now.tag)),
            rc: Some(rc),
            stdout: output(&self.stdout),
            stderr: output(&self.stderr),
        })
    }
}

impl AmendPage {
    fn make((actor, base): (&Actor, &str), typed: Typed, task: Task, problems: Problems) -> Self {
        let path = format!("/wsexec/tasks/{}", task.id);
        let body = json!({"name": task.name, "rc": task.rc});
        Self {
            shell: Shell::of(actor, Section::Tasks),
            terminal: Terminal::of(base, actor).send("Amend it", ("PUT", path), &body),
            typed,
            task,
            problems,
        }
    }
}

/// The task, where whoever asks may amend it.
async fn amendable(service: &Service, actor: &Actor, id: &str) -> Outcome<Task> {
    let task = service.task(actor, id_of(id)?).await?;
    actor.require_task(&task)?;
    if task.state.has_ended() {
        Ok(task)
    } else {
        Err(Error::conflict(
            "A result can be amended only after the task has ended.",
        ))
    }
}

#[handler]
pub async fn form(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
) -> Result<Response> {
    let task = amendable(service, &actor, &id).await?;
    let typed = Typed::from(&task);
    let fresh = Problems::default();
    page::html(&AmendPage::make((&actor, &base), typed, task, fresh))
}

#[handler]
pub async fn save(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(mut typed): Form<Typed>,
) -> Result<Response> {
    let task = amendable(service, &actor, &id).await?;
    let saved = match typed.amendment(&task) {
        Ok(amend) => {
            let update = TaskUpdate {
                amend,
                ..TaskUpdate::default()
            };
            let seen = if_version(&typed.version);
            let saved = service.update_task(&actor, task.id, update, Some(seen));
            saved.await
        }
        Err(error) => Err(error),
    };
    let error = match saved {
        Ok(task) => return Ok(page::see(format!("/tasks/{}", task.id))),
        Err(error) => error,
    };
    let (status, problems) = Problems::of(error)?;
    if matches!(problems.general, Some(Problem::Changed)) {
        // The page says what it is now; saving again is then a decision.
        typed.version = task.version.to_string();
    }
    page::html_with(
        status,
        &AmendPage::make((&actor, &base), typed, task, problems),
    )
}
