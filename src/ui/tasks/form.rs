use super::how::How;
use super::id_of;
use super::pick::Place;
use super::post::post;
use super::review::ReviewPage;
use crate::domain::{
    Error, Field, IdentityKind, Instance, InstanceFilter, InstanceId, InstanceState, NewTask,
    Order, Page, Result as Outcome, TaskFilter, random_token,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use crate::ui::form::{Problem, Problems, lines, number, once};
use crate::ui::identities::offered as identities;
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::http::StatusCode;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;

/// The most instances that are offered while somebody types; others are found all the same.
const OFFERED: u32 = 200;
/// How many of the last tasks are looked through for the user that somebody ran them as.
const REMEMBERED: u32 = 50;

#[derive(Template)]
#[template(path = "pages/tasks/edit.html")]
struct NewPage {
    shell: Shell,
    typed: Typed,
    offered: Vec<Instance>,
    /// What the typed instance can mean, where that is more than one.
    choices: Vec<Instance>,
    problems: Problems,
    /// Identities that secrets may be taken of, to choose from.
    secrets: Vec<String>,
    /// What of the task to run again is not in the form.
    missing: Option<String>,
    terminal: Terminal,
}

/// The form as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    key: String,
    /// What is to happen: `review`, `change` after that, or else it runs.
    step: String,
    instance: String,
    /// The id of what was chosen of several that the typed instance can mean.
    pick: String,
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
    async fn place(&self, service: &Service, actor: &Actor) -> Outcome<Place> {
        let chosen = match self.pick.as_str() {
            "" => &self.instance,
            pick => pick,
        };
        Place::of(service, actor, chosen).await
    }

    fn new_task(&self, place: &Place) -> Outcome<NewTask> {
        let mut wrong = Vec::new();
        let mut note = |field, message: String| wrong.push(Field { field, message });
        let instance = match place {
            Place::One(instance) => instance.id,
            Place::Unseen(id) => *id,
            Place::Unclear(message, _) => {
                note("instance".into(), (*message).into());
                InstanceId::default()
            }
        };
        let timeout = number(&self.timeout).unwrap_or_else(|message| {
            note("timeout".into(), message);
            None
        });
        let mut new = NewTask {
            name: self.name.clone(),
            tag: lines(&self.tag),
            instance,
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

    /// The fields that say what is to run, with what was typed, and the key that goes with them.
    pub fn fields(&self) -> Vec<(String, &str)> {
        let alone: [(&str, &str); 7] = [
            ("key", &self.key),
            ("instance", &self.instance),
            ("user", &self.user),
            ("name", &self.name),
            ("script", &self.script),
            ("tag", &self.tag),
            ("timeout", &self.timeout),
        ];
        let alone = alone.map(|(name, value)| (name.to_owned(), value));
        alone.into_iter().chain(self.how.fields()).collect()
    }
}

impl NewPage {
    async fn make(
        service: &Service,
        actor: &Actor,
        base: &str,
        typed: Typed,
        problems: Problems,
    ) -> Outcome<Self> {
        let choices = match typed.place(service, actor).await? {
            Place::Unclear(_, choices) => choices,
            Place::One(_) | Place::Unseen(_) => Vec::new(),
        };
        let active = InstanceFilter {
            state: Some(InstanceState::Active),
            ..InstanceFilter::default()
        };
        let page = Page {
            limit: Some(OFFERED),
            ..Page::default()
        };
        let offered = service.instances(actor, &active, page).await?;
        let example = NewTask {
            instance: offered.first().map_or(InstanceId(1), |it| it.id),
            user: "deploy".to_owned(),
            name: "Uptime".to_owned(),
            script: "uptime".to_owned(),
            ..NewTask::default()
        };
        Ok(Self {
            shell: Shell::of(actor, Section::Tasks),
            terminal: post(Terminal::of(base, actor), "Post a task", &example),
            offered,
            choices,
            typed,
            problems,
            secrets: identities(service, actor, IdentityKind::Secret).await?,
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
    if let Place::One(instance) = typed.place(service, &actor).await? {
        if typed.user.is_empty() {
            typed.user = remembered(service, &actor, Some(instance.id)).await?;
        }
        typed.instance = named(service, &actor, &instance).await?;
    } else if typed.user.is_empty() {
        typed.user = remembered(service, &actor, None).await?;
    }
    let page = NewPage::make(service, &actor, &base, typed, Problems::default()).await?;
    page::html(&NewPage { missing, ..page })
}

/// Makes the task, or shows what it would do, or the form again.
#[handler]
pub async fn create(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(mut typed): Form<Typed>,
) -> Result<Response> {
    actor.require(Action::RunTasks)?;
    let (status, problems) = match step(service, (&actor, &base), &mut typed).await {
        Ok(Some(response)) => return response,
        Ok(None) => (StatusCode::OK, Problems::default()),
        Err(error) => Problems::of(error)?,
    };
    if matches!(problems.general, Some(Problem::Reused)) {
        random_token().expose().clone_into(&mut typed.key);
    }
    let page = NewPage::make(service, &actor, &base, typed, problems).await?;
    page::html_with(status, &page)
}

/// What a step answers; nothing where the form is wanted again.
async fn step(
    service: &Service,
    (actor, base): (&Actor, &str),
    typed: &mut Typed,
) -> Outcome<Option<Result<Response>>> {
    let place = typed.place(service, actor).await?;
    if typed.step == "change" {
        if let Place::One(instance) = place {
            typed.instance = named(service, actor, &instance).await?;
        }
        typed.pick.clear();
        return Ok(None);
    }
    let new = typed.new_task(&place)?;
    if typed.step == "review"
        && let Place::One(instance) = place
    {
        let page = ReviewPage::of(service, (actor, base), typed, (new, *instance)).await?;
        return Ok(Some(page::html(&page)));
    }
    let fields = typed.fields();
    let mut says: Vec<&str> = fields.iter().skip(1).map(|(_, value)| *value).collect();
    says.push(&typed.pick);
    let key = once(&typed.key, &says)?;
    let task = service.create_task(actor, new, Some(key)).await?;
    Ok(Some(Ok(page::see(format!("/tasks/{}", task.id)))))
}

/// What stands for an instance in the field: its address, or its id where that is another's too.
async fn named(service: &Service, actor: &Actor, instance: &Instance) -> Outcome<String> {
    let address = instance.address();
    Ok(match Place::of(service, actor, &address).await? {
        Place::One(it) if it.id == instance.id => address,
        _ => instance.id.to_string(),
    })
}

/// The user that somebody last ran a task as, on an instance or anywhere; empty where that is not
/// among the last ones.
async fn remembered(
    service: &Service,
    actor: &Actor,
    instance: Option<InstanceId>,
) -> Outcome<String> {
    let filter = TaskFilter {
        instance,
        ..TaskFilter::default()
    };
    let page = Page {
        limit: Some(REMEMBERED),
        order: Order::Desc,
        ..Page::default()
    };
    let (tasks, _) = service.tasks_soon(actor, &filter, page).await?;
    let own = tasks.into_iter().find(|it| it.created_by == actor.name());
    Ok(own.map_or_else(String::new, |it| it.user))
}
