use super::{Row, rows};
use crate::domain::{ApprovalState, Fate, InstanceId, Order, Result as Outcome, State, TaskFilter};
use crate::http::{BaseUrl, Caller};
use crate::service::{Action, Service};
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use crate::ui::paging::{Address, Cursor, Paged, asked, given};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/tasks/list.html")]
struct ListPage {
    shell: Shell,
    paged: Paged<Row>,
    asked: Asked,
    narrowed: bool,
    states: [State; 4],
    fates: [Fate; 4],
    approvals: [ApprovalState; 5],
    terminal: Terminal,
    may_run: bool,
}

/// What the address asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    state: String,
    instance: String,
    user: String,
    name: String,
    tag: String,
    fate: String,
    approval: String,
    q: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Asked {
    fn is_state(&self, state: &State) -> bool {
        self.state == state.as_str()
    }

    fn is_fate(&self, fate: &Fate) -> bool {
        self.fate == fate.as_str()
    }

    fn is_approval(&self, state: &ApprovalState) -> bool {
        self.approval == state.as_str()
    }

    /// Whether what is asked for less often is.
    fn has_more(&self) -> bool {
        let rare = [&self.user, &self.name, &self.tag, &self.approval];
        rare.iter().any(|it| !it.is_empty())
    }

    fn filter(&self) -> Outcome<TaskFilter> {
        let id = |text: &str| text.trim().parse().ok();
        let approval = "is not a state of an approval";
        Ok(TaskFilter {
            state: asked(&self.state, State::parse, "state", "is not a state")?,
            instance: asked(&self.instance, id, "instance", "must be an id")?.map(InstanceId),
            fate: asked(&self.fate, Fate::parse, "fate", "is not how a task ends")?,
            approval: asked(&self.approval, ApprovalState::parse, "approval", approval)?,
            user: given(&self.user),
            name: given(&self.name),
            tag: given(&self.tag),
            q: given(&self.q),
        })
    }

    fn narrowing(&self) -> [(&'static str, &String); 8] {
        [
            ("state", &self.state),
            ("instance", &self.instance),
            ("user", &self.user),
            ("name", &self.name),
            ("tag", &self.tag),
            ("fate", &self.fate),
            ("approval", &self.approval),
            ("q", &self.q),
        ]
    }

    fn address(&self) -> Address {
        let order = ("order", self.cursor.order());
        Address::new("/tasks", self.narrowing().into_iter().chain([order]))
    }

    fn api(&self) -> String {
        let order = match self.cursor.is_order("asc") {
            true => "asc",
            false => "desc",
        };
        Address::new("/wsexec/tasks", self.narrowing()).with(&[
            ("output", "none"),
            ("order", order),
            ("limit", "50"),
        ])
    }
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let turn = asked.cursor.turn(Order::Desc)?;
    let (filter, page) = (asked.filter()?, turn.page()?);
    let (tasks, reached) = service.tasks_soon(&actor, &filter, page).await?;
    let found = (tasks, reached.map(|it| it.to_string()));
    let mut paged = turn.paged_to(found, &asked.address(), |it| it.id.to_string());
    let tasks = std::mem::take(&mut paged.rows);
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Tasks),
        paged: paged.with(rows(service, &actor, tasks).await?),
        terminal: Terminal::of(&base, &actor).get("List these tasks", asked.api()),
        states: State::ALL,
        fates: Fate::ALL,
        approvals: ApprovalState::ALL,
        may_run: actor.may(Action::RunTasks),
        narrowed: asked.narrowing().iter().any(|(_, value)| !value.is_empty()),
        asked,
    })
}
