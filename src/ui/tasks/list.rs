use super::{Row, rows};
use crate::domain::{
    ApprovalState, Error, InstanceId, Order, Page, Result as Outcome, State, TaskFilter,
};
use crate::http::{BaseUrl, Caller};
use crate::service::{Action, Service};
use crate::ui::curl::Curl;
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "pages/tasks/list.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Row>,
    asked: Asked,
    states: [State; 4],
    newer: Option<String>,
    older: Option<String>,
    curl: Curl,
    may_run: bool,
}

/// What the address asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    state: String,
    instance: String,
    approval: String,
    q: String,
    before: String,
    after: String,
}

impl Asked {
    fn is_narrowed(&self) -> bool {
        !(self.state.is_empty()
            && self.instance.is_empty()
            && self.approval.is_empty()
            && self.q.is_empty())
    }

    fn is_unapproved(&self) -> bool {
        self.approval == ApprovalState::Waiting.as_str()
    }

    fn is_state(&self, state: &State) -> bool {
        self.state == state.as_str()
    }

    fn filter(&self) -> Outcome<TaskFilter> {
        Ok(TaskFilter {
            state: asked(&self.state, State::parse, "state", "is not a state")?,
            instance: asked(&self.instance, id, "instance", "must be an id")?.map(InstanceId),
            approval: asked(
                &self.approval,
                ApprovalState::parse,
                "approval",
                "is not a state of an approval",
            )?,
            q: Some(self.q.clone()).filter(|q| !q.is_empty()),
            ..TaskFilter::default()
        })
    }

    /// One row more than is shown, to know whether there are more. A page of newer tasks is read
    /// from its old end.
    fn page(&self) -> Outcome<Page> {
        let after = asked(&self.after, id, "after", "must be an id")?;
        Ok(Page {
            limit: Some(ROWS + 1),
            before: asked(&self.before, id, "before", "must be an id")?,
            after,
            order: if after.is_some() {
                Order::Asc
            } else {
                Order::Desc
            },
        })
    }

    fn narrowing(&self) -> Serializer<'static, String> {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("state", &self.state),
            ("instance", &self.instance),
            ("approval", &self.approval),
            ("q", &self.q),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query
    }

    fn link(&self, cursor: &str, id: i64) -> String {
        let query = self
            .narrowing()
            .append_pair(cursor, &id.to_string())
            .finish();
        format!("/tasks?{query}")
    }

    fn api(&self) -> String {
        let mut query = self.narrowing();
        query.extend_pairs([("output", "none"), ("order", "desc"), ("limit", "50")]);
        format!("/wsexec/tasks?{}", query.finish())
    }
}

fn id(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

fn asked<T>(
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    name: &'static str,
    wrong: &'static str,
) -> Outcome<Option<T>> {
    if text.is_empty() {
        return Ok(None);
    }
    read(text)
        .map(Some)
        .ok_or_else(|| Error::field(name, wrong))
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let page = asked.page()?;
    let mut tasks = service.tasks(&actor, &asked.filter()?, page).await?;
    let more = tasks.len() > ROWS as usize;
    tasks.truncate(ROWS as usize);
    let upwards = page.order == Order::Asc;
    if upwards {
        tasks.reverse();
    }
    let (newer, older) = if upwards {
        (more, true)
    } else {
        (page.before.is_some(), more)
    };
    let newest = tasks.first().map(|task| task.id.0);
    let oldest = tasks.last().map(|task| task.id.0);
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Tasks),
        newer: newest.filter(|_| newer).map(|id| asked.link("after", id)),
        older: oldest.filter(|_| older).map(|id| asked.link("before", id)),
        curl: Curl::get(&base, actor.name(), asked.api()),
        rows: rows(service, &actor, tasks).await?,
        states: State::ALL,
        may_run: actor.may(Action::RunTasks),
        asked,
    })
}
