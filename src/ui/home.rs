//! The overview: what waits for somebody, what runs, what failed, a picture of the last day, and
//! what to do first.

use super::chart::Picture;
use super::page::{self, Section, Shell};
use super::tasks::{Row, rows};
use crate::domain::{Begun, Fate, Instance, Part, Task};
use crate::http::Caller;
use crate::service::{Action, Actor, Service};
use crate::ui::filters;
use askama::Template;
use poem::web::Data;
use poem::{Response, Result, handler};

#[derive(Template)]
#[template(path = "pages/home.html")]
struct Overview {
    shell: Shell,
    begun: Begun,
    running: Part<Row>,
    waiting: Part<Row>,
    failed: Part<Row>,
    to_decide: Part<Row>,
    undecided: usize,
    to_review: Part<Instance>,
    failing: Part<Instance>,
    picture: Picture,
    may_run: bool,
    may_manage: bool,
}

impl Overview {
    /// How many tasks and host keys wait for the reader.
    fn for_you(&self) -> usize {
        self.to_decide.count + self.to_review.count
    }

    fn for_you_or_more(&self) -> bool {
        self.to_decide.more || self.to_review.more
    }

    /// Failed and aborted tasks of the last day.
    fn bad(&self) -> u64 {
        self.picture.of_fate(&Fate::Failed) + self.picture.of_fate(&Fate::Aborted)
    }
}

#[handler]
pub async fn overview(Caller(actor): Caller, Data(service): Data<&Service>) -> Result<Response> {
    let (seen, day) = service.overview(&actor).await?;
    page::html(&Overview {
        shell: Shell::of(&actor, Section::Home),
        running: beside(service, &actor, seen.running).await?,
        waiting: beside(service, &actor, seen.waiting).await?,
        failed: beside(service, &actor, seen.failed).await?,
        to_decide: beside(service, &actor, seen.to_decide).await?,
        undecided: seen.undecided,
        to_review: seen.to_review,
        failing: seen.failing,
        begun: seen.begun,
        picture: Picture::of(day),
        may_run: actor.may(Action::RunTasks),
        may_manage: actor.may(Action::ManageInstances),
    })
}

async fn beside(service: &Service, actor: &Actor, part: Part<Task>) -> Result<Part<Row>> {
    Ok(Part {
        shown: rows(service, actor, part.shown).await?,
        count: part.count,
        more: part.more,
    })
}
