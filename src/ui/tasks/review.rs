//! What a new task does, shown before it does it.

use super::form::Typed;
use super::post::post;
use crate::domain::{Instance, Mode, NewTask, Result};
use crate::service::{Actor, Service};
use crate::ui::filters;
use crate::ui::page::{Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;

/// The form again, whole and hidden, beside what it comes to.
#[derive(Template)]
#[template(path = "pages/tasks/review.html")]
pub struct ReviewPage {
    shell: Shell,
    instance: Instance,
    mode: Mode,
    /// Whether a second person has to approve it.
    approval: bool,
    /// Names and values of the form's fields.
    fields: Vec<(String, String)>,
    new: NewTask,
    /// Bytes of standard input.
    input: u64,
    terminal: Terminal,
}

impl ReviewPage {
    /// The review of what was typed.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn of(
        service: &Service,
        (actor, base): (&Actor, &str),
        typed: &Typed,
        (new, instance): (NewTask, Instance),
    ) -> Result<Self> {
        let fields = typed.fields().into_iter();
        Ok(Self {
            shell: Shell::of(actor, Section::Tasks),
            mode: new.mode.unwrap_or(instance.mode),
            approval: service.asks_for_approval(&new.user, &instance).await?,
            fields: fields
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            input: new.stdin.as_ref().map_or(0, |it| it.len() as u64),
            terminal: post(Terminal::of(base, actor), "Run it", &new),
            instance,
            new,
        })
    }
}
