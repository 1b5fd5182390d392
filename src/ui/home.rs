//! The overview: what runs, what failed lately, and what to do first.

use super::page::{self, Section, Shell};
use super::tasks::{Row, rows};
use crate::domain::{ApprovalState, InstanceFilter, Order, Page, State, TaskFilter};
use crate::http::Caller;
use crate::service::{Action, Service};
use crate::ui::filters;
use askama::Template;
use poem::web::Data;
use poem::{Response, Result, handler};

const RUNNING: u32 = 20;
const LATELY: u32 = 100;
const FAILED: usize = 10;

#[derive(Template)]
#[template(path = "pages/home.html")]
struct Overview {
    shell: Shell,
    instances: usize,
    more_instances: bool,
    running: Vec<Row>,
    waiting: Vec<Row>,
    /// Those that wait for a second person, up to a batch.
    unapproved: usize,
    may_run: bool,
    may_manage: bool,
    failed: Vec<Row>,
    lately: u32,
}

#[handler]
pub async fn overview(Caller(actor): Caller, Data(service): Data<&Service>) -> Result<Response> {
    let newest = |limit| Page {
        limit: Some(limit),
        order: Order::Desc,
        ..Page::default()
    };
    let instances = service
        .instances(&actor, &InstanceFilter::default(), newest(Service::BATCH))
        .await?
        .len();
    let of = |state| TaskFilter {
        state: Some(state),
        ..TaskFilter::default()
    };
    let running = service
        .tasks(&actor, &of(State::Current), newest(RUNNING))
        .await?;
    let waiting = service
        .tasks(&actor, &of(State::Init), newest(RUNNING))
        .await?;
    let undecided = TaskFilter {
        approval: Some(ApprovalState::Waiting),
        ..TaskFilter::default()
    };
    let unapproved = service.tasks(&actor, &undecided, newest(Service::BATCH));
    let unapproved = unapproved.await?.len();
    let mut failed = service
        .tasks(&actor, &TaskFilter::default(), newest(LATELY))
        .await?;
    failed.retain(|task| task.state == State::Abort || task.rc.is_some_and(|rc| rc != 0));
    failed.truncate(FAILED);
    page::html(&Overview {
        shell: Shell::of(&actor, Section::Home),
        instances,
        more_instances: instances >= Service::BATCH as usize,
        running: rows(service, &actor, running).await?,
        waiting: rows(service, &actor, waiting).await?,
        failed: rows(service, &actor, failed).await?,
        lately: LATELY,
        unapproved,
        may_run: actor.may(Action::RunTasks),
        may_manage: actor.may(Action::ManageInstances),
    })
}
