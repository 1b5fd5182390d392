use super::how::How;
use super::{id_of, secrets};
use crate::domain::{
    Error, Field, Instance, InstanceFilter, InstanceId, InstanceState, NewTask, Page,
    Result as Outcome, random_token,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::curl::Curl;
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, lines, number, once};
use crate::ui::page::{self, Section, Shell};
use askama::Template;
use poem::http::StatusCode;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::{Deserialize, Serialize};

/// The most instances that the form offers to choose from; past that an id is typed.
const OFFERED: u32 = 200;

#[derive(Template)]
#[template(path = "pages/tasks/edit.html")]
struct NewPage {
    shell: Shell,
    typed: Typed,
    /// None where there are too many to choose from.
    offered: Option<Vec<Instance>>,
    problems: Problems,
    /// Identities that secrets may be taken of, to choose from.
    secrets: Vec<String>,
    /// What of the task to run again is not in the form.
    missing: Option<String>,
    curl: Curl,
}

/// The form as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    key: String,
    instance: String,
    user: String,
    name: String,
    script: String,
    tag: String,
    timeout: String,
    #[serde(flatten)]
    how: How,
}

/// What a new form begins with.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Begin {
    /// A task to run again.
    from: String,
    instance: String,
}

impl Typed {
    fn new_task(&self) -> Outcome<NewTask> {
        let mut wrong = Vec::new();
        let mut note = |field, message: String| wrong.push(Field { field, message });
        let instance = number(&self.instance).unwrap_or_else(|message| {
            note("instance".into(), message);
            Some(0)
        });
        if instance.is_none() {
            note("instance".into(), "must be chosen".into());
        }
        let timeout = number(&self.timeout).unwrap_or_else(|message| {
            note("timeout".into(), message);
            None
        });
        let mut new = NewTask {
            name: self.name.clone(),
            tag: lines(&self.tag),
            instance: InstanceId(instance.unwrap_or_default()),
            script: lines(&self.script),
            user: self.user.trim().to_owned(),
            timeout,
            ..NewTask::default()
        };
        self.how
            .put(&mut new, |field, message| note(field.into(), message));
        if let Err(error) = new.validate() {
            wrong.extend_from_slice(error.invalid_fields());
        }
        if wrong.is_empty() {
            Ok(new)
        } else {
            Err(Error::fields(wrong))
        }
    }

    fn says(&self) -> Vec<&str> {
        let Self {
            instance,
            user,
            name,
            script,
            tag,
            timeout,
            how,
            key: _,
        } = self;
        let mut says: Vec<&str> = vec![instance, user, name, script, tag, timeout];
        says.extend(how.says());
        says
    }
}

/// A body of the API that stands for this form: with what was typed, or an example.
#[derive(Serialize)]
struct Body<'a> {
    instance: i64,
    user: &'a str,
    name: &'a str,
    script: &'a str,
}

impl NewPage {
    async fn make(
        service: &Service,
        actor: &Actor,
        base: &str,
        typed: Typed,
        problems: Problems,
    ) -> Outcome<Self> {
        let active = InstanceFilter {
            state: Some(InstanceState::Active),
            ..InstanceFilter::default()
        };
        let page = Page {
            limit: Some(OFFERED + 1),
            ..Page::default()
        };
        let offered = service.instances(actor, &active, page).await?;
        let example = Body {
            instance: offered.first().map_or(1, |instance| instance.id.0),
            user: "deploy",
            name: "Uptime",
            script: "uptime",
        };
        Ok(Self {
            shell: Shell::of(actor, Section::Tasks),
            curl: Curl::get(base, actor.name(), "/wsexec/tasks").json(&example),
            offered: Some(offered).filter(|all| all.len() <= OFFERED as usize),
            typed,
            problems,
            secrets: secrets::offered(service, actor).await?,
            missing: None,
        })
    }
}

#[handler]
pub async fn blank(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(begin): Query<Begin>,
) -> Result<Response> {
    actor.require(Action::RunTasks)?;
    let mut typed = Typed {
        key: random_token().expose().to_owned(),
        instance: begin.instance,
        ..Typed::default()
    };
    let mut missing = None;
    if !begin.from.is_empty() {
        let task = service.task(&actor, id_of(&begin.from)?).await?;
        (typed.how, missing) = How::of(&task);
        typed.instance = task.instance.to_string();
        typed.user = task.user;
        typed.name = task.name;
        typed.script = task.script;
        typed.tag = task.tag;
        typed.timeout = task.timeout.map(|t| t.to_string()).unwrap_or_default();
    }
    let page = NewPage::make(service, &actor, &base, typed, Problems::default()).await?;
    page::html(&NewPage { missing, ..page })
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
    let (status, problems): (StatusCode, Problems) = Problems::of(error)?;
    if matches!(problems.general, Some(Problem::Reused)) {
        random_token().expose().clone_into(&mut typed.key);
    }
    let page = NewPage::make(service, &actor, &base, typed, problems).await?;
    page::html_with(status, &page)
}

async fn post(service: &Service, actor: &Actor, typed: &Typed) -> Outcome<String> {
    let new = typed.new_task()?;
    let key = once(&typed.key, &typed.says())?;
    let task = service.create_task(actor, new, Some(key)).await?;
    Ok(format!("/tasks/{}", task.id))
}
