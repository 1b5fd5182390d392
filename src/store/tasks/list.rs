//! Pages of tasks: what narrows them, and the search for a text.

use super::row::{COLUMNS, task};
use crate::domain::{
    ApprovalState, Fate, Order, Page, Result, Scopes, State, Task, TaskFilter, TaskId,
};
use crate::store::Store;
use crate::store::conditions::Conditions;
use std::time::{Duration, Instant};

/// What a removed instance was called and labelled nobody knows any more.
const ALLOWED: &str = "coalesce(
     (SELECT allows(?, tasks.user, i.id, i.ip, i.labels) FROM instances i WHERE i.id = tasks.instance),
     allows(?, tasks.user, tasks.instance, NULL, NULL))";

/// Ids that one read looks through for a text.
const WINDOW: i64 = 20_000;
/// The same for who does not wait for all of it.
const SHORT_WINDOW: i64 = 4_000;

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
        if filter.q.is_some() || !scopes.are_everything() {
            return self.search_tasks(filter, scopes, page, patience).await;
        }
        let conditions = narrowed(filter, scopes, page);
        let found = self.read(move |c| conditions.select(c, COLUMNS, "tasks", task));
        Ok((found.await?, None))
    }

    /// A text, or what a scope holds, is found by reading what it may stand in: in windows of ids, each a read of its own,
    /// so that a long history holds neither a reader nor the log.
    async fn search_tasks(
        &self,
        filter: &TaskFilter,
        scopes: &Scopes,
        page: Page,
        patience: Option<Duration>,
    ) -> Result<(Vec<Task>, Option<TaskId>)> {
        const LAST: &str = "SELECT coalesce(max(id), 0) FROM tasks";
        let began = Instant::now();
        let last: i64 = self
            .read(|c| c.prepare_cached(LAST)?.query_row([], |row| row.get(0)))
            .await?;
        let limit = page.limit.unwrap_or(u32::MAX) as usize;
        let width = patience.map_or(WINDOW, |_| SHORT_WINDOW);
        let mut after = page.after.unwrap_or(0).max(0);
        let mut before = page.before.unwrap_or(i64::MAX).min(last + 1);
        let mut found = Vec::new();
        while found.len() < limit && after < before.saturating_sub(1) {
            let (low, high) = match page.order {
                Order::Asc => (after, before.min(after + width)),
                Order::Desc => (after.max(before - width), before),
            };
            match page.order {
                Order::Asc => after = high - 1,
                Order::Desc => before = low + 1,
            }
            let window = Page {
                limit: u32::try_from(limit - found.len()).ok(),
                after: Some(low),
                before: Some(high),
                order: page.order,
            };
            let conditions = narrowed(filter, scopes, window);
            let more = self.read(move |c| conditions.select(c, COLUMNS, "tasks", task));
            found.extend(more.await?);
            let left = found.len() < limit && after < before.saturating_sub(1);
            if left && patience.is_some_and(|it| began.elapsed() > it) {
                let reached = match page.order {
                    Order::Asc => after,
                    Order::Desc => before,
                };
                return Ok((found, Some(TaskId(reached))));
            }
        }
        Ok((found, None))
    }
}

/// Where the instance is given, its index is the one to take, whatever else is: a `+` keeps the
/// planner from the others. What waits or runs anywhere is little, too.
fn narrowed(filter: &TaskFilter, scopes: &Scopes, page: Page) -> Conditions {
    let other = |column: &str| match filter.instance {
        Some(_) => format!("+{column}"),
        None => column.to_owned(),
    };
    let state = match filter.state {
        Some(State::Done | State::Abort) | None => other("state"),
        Some(State::Init | State::Current) => "state".to_owned(),
    };
    let mut conditions = Conditions::page(page);
    conditions.equal(&state, filter.state.map(State::as_str));
    conditions.equal("instance", filter.instance.map(|i| i.0));
    conditions.equal(&other("user"), filter.user.clone());
    conditions.equal(&other("tag"), filter.tag.clone());
    conditions.equal(&other("name"), filter.name.clone());
    conditions.equal("+fate", filter.fate.map(Fate::as_str));
    match filter.approval {
        // As the index has it.
        Some(ApprovalState::Waiting) => conditions.is("approval = 'waiting'"),
        other => conditions.equal("approval", other.map(ApprovalState::as_str)),
    }
    conditions.contains(&["name", "tag", "script"], filter.q.as_deref());
    if !scopes.are_everything() {
        conditions.hold(ALLOWED, scopes.to_string());
    }
    conditions
}
