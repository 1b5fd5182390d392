//! Pages of tasks, and what narrows them.

use super::row::{COLUMNS, task};
use crate::domain::{Page, Result, Scopes, Task, TaskFilter, TaskId};
use crate::store::Store;
use crate::store::conditions::Conditions;
use rusqlite::types::Value;
use std::time::Duration;

impl Store {
    /// A page of the tasks, in the page's order, without their output. Where it takes longer than
    /// the patience, what was found so far, and the last id that was looked at.
    ///
    /// # Errors
    /// `Unavailable`, as for everything here, where the store does not answer.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        scopes: &Scopes,
        page: Page,
        patience: Option<Duration>,
    ) -> Result<(Vec<Task>, Option<TaskId>)> {
        let exact = exact(filter);
        if filter.q.is_some() || !scopes.are_everything() || exact.len() > 1 {
            return self.search_tasks(filter, scopes, page, patience).await;
        }
        let conditions = narrowed(filter, page, exact.first().map(|it| it.column));
        let found = self.read(move |c| conditions.select(c, COLUMNS, "tasks", task));
        Ok((found.await?, None))
    }
}

/// One value that a task has to have, and the index that lists the tasks that have it.
pub(super) struct Exact {
    pub(super) column: &'static str,
    pub(super) index: &'static str,
    pub(super) value: Value,
}

pub(super) fn exact(filter: &TaskFilter) -> Vec<Exact> {
    let of = |column, index, value: Option<Value>| {
        value.map(|value| Exact {
            column,
            index,
            value,
        })
    };
    let text = |text: Option<&String>| text.map(|it| Value::Text(it.clone()));
    let state = filter.state.map(|it| Value::Text(it.as_str().to_owned()));
    let approval = filter
        .approval
        .map(|it| Value::Text(it.as_str().to_owned()));
    let instance = filter.instance.map(|it| Value::Integer(it.0));
    [
        of("instance", "tasks_by_instance", instance),
        of("name", "tasks_by_name", text(filter.name.as_ref())),
        of("tag", "tasks_by_tag", text(filter.tag.as_ref())),
        of("user", "tasks_by_user", text(filter.user.as_ref())),
        of("approval", "tasks_by_approval", approval),
        of("state", "tasks_by_state", state),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a filter asks for, on the way over the index of one column, or over the ids: a `+` keeps
/// the planner from the other ways.
pub(super) fn narrowed(filter: &TaskFilter, page: Page, by: Option<&str>) -> Conditions {
    let mut conditions = Conditions::page(page);
    for it in exact(filter) {
        let column = match by {
            Some(column) if column == it.column => it.column.to_owned(),
            Some(_) | None => format!("+{}", it.column),
        };
        conditions.equal(&column, Some(it.value));
    }
    conditions.contains(&["name", "tag", "script"], filter.q.as_deref());
    conditions
}
