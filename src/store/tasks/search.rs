//! Lists that no one index has in their order: a text, several values at once, what a scope holds.
//!
//! First the tasks that are nearest in the list's order are looked at, which is all that a common
//! wish needs. Then the shortest way through the rest is taken.

use super::get;
use super::list::narrowed;
use super::way::{List, Way, Window, way};
use crate::domain::{InstanceId, Page, Result, Scopes, Task, TaskFilter, TaskId};
use crate::store::Store;
use crate::store::access::Sight;
use crate::store::conditions::Conditions;
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// Ids that one read looks through.
const WINDOW: i64 = 20_000;
/// The same at first, and for who does not wait for all of it.
const SHORT_WINDOW: i64 = 4_000;

/// What is looked for.
#[derive(Clone)]
struct Search {
    filter: TaskFilter,
    scopes: Scopes,
    page: Page,
}

impl Store {
    pub(super) async fn search_tasks(
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
        let search = Search {
            filter: filter.clone(),
            scopes: scopes.clone(),
            page,
        };
        let limit = page.limit.unwrap_or(u32::MAX) as usize;
        let whole = Window {
            after: page.after.unwrap_or(0).max(0),
            before: page.before.unwrap_or(i64::MAX).min(last + 1),
        };
        if whole.is_empty() {
            return Ok((Vec::new(), None));
        }
        let (near, rest) = whole.split(SHORT_WINDOW, page.order);
        let it = search.clone();
        let mut found = self.read(move |c| it.look(c, &[near], limit)).await?;
        if found.len() >= limit || rest.is_empty() {
            return Ok((found, None));
        }
        let width = patience.map_or(WINDOW, |_| SHORT_WINDOW);
        let it = search.clone();
        let windows = match self.read(move |c| it.way(c, rest, width)).await? {
            Way::List(list) => {
                let left = limit - found.len();
                let more = self.read(move |c| search.look_in(c, &list, rest, left));
                found.extend(more.await?);
                return Ok((found, None));
            }
            Way::Windows(windows) => windows,
        };
        // In several reads, so that a long history holds neither a reader nor the log.
        let mut left = &windows[..];
        while let Some(first) = left.first()
            && found.len() < limit
        {
            let of_one_read = (width / first.ids()).max(1) as usize;
            let (now, later) = left.split_at(of_one_read.min(left.len()));
            left = later;
            let (it, some, most) = (search.clone(), now.to_vec(), limit - found.len());
            let more = self.read(move |c| it.look(c, &some, most)).await?;
            found.extend(more);
            if found.len() < limit
                && !left.is_empty()
                && patience.is_some_and(|it| began.elapsed() > it)
            {
                let reached = now.last().map(|it| it.end(page.order));
                return Ok((found, reached.map(TaskId)));
            }
        }
        Ok((found, None))
    }
}

impl Search {
    fn way(&self, c: &Connection, rest: Window, width: i64) -> rusqlite::Result<Way> {
        let mut sight = Sight::new(c, self.scopes.clone());
        way(c, &self.filter, &mut sight, rest, (width, self.page.order))
    }

    /// What is in these windows, which are in the page's order.
    fn look(
        &self,
        c: &Connection,
        windows: &[Window],
        limit: usize,
    ) -> rusqlite::Result<Vec<Task>> {
        let mut sight = Sight::new(c, self.scopes.clone());
        let mut ids = Vec::new();
        for window in windows.iter().filter(|it| !it.is_empty()) {
            let left = limit - ids.len();
            if left == 0 {
                break;
            }
            let conditions = narrowed(&self.filter, window.page(self.page.order), None);
            ids.extend(seen(c, "tasks", &conditions, &mut sight, left)?);
        }
        rows(c, ids)
    }

    /// What is in a list.
    fn look_in(
        &self,
        c: &Connection,
        list: &List,
        rest: Window,
        limit: usize,
    ) -> rusqlite::Result<Vec<Task>> {
        let mut sight = Sight::new(c, self.scopes.clone());
        let mut conditions = narrowed(&self.filter, rest.page(self.page.order), Some(list.column));
        if let Some(values) = &list.any_of {
            let term = format!("{} IN (SELECT value FROM json_each(?))", list.column);
            conditions.hold(&term, values.clone());
        }
        let from = format!("tasks INDEXED BY {}", list.index);
        let ids = seen(c, &from, &conditions, &mut sight, limit)?;
        rows(c, ids)
    }
}

/// The ids of the first tasks that fit and are in sight.
fn seen(
    c: &Connection,
    from: &str,
    conditions: &Conditions,
    sight: &mut Sight,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let all = sight.is_everything();
    let columns = if all { "id" } else { "id, instance, user" };
    let mut ids = Vec::new();
    conditions.each(c, columns, from, |row| {
        if all || sight.allows(InstanceId(row.get(1)?), row.get_ref(2)?.as_str()?)? {
            ids.push(row.get(0)?);
        }
        Ok(ids.len() < limit)
    })?;
    Ok(ids)
}

fn rows(c: &Connection, ids: Vec<i64>) -> rusqlite::Result<Vec<Task>> {
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        tasks.extend(get(c, TaskId(id))?);
    }
    Ok(tasks)
}
