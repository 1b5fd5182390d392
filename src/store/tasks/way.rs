//! The shortest way to the tasks that a filter asks for: one of the lists that indexes have, the
//! blocks of ids that may hold a text, or all ids.

use super::list::exact;
use crate::domain::{InstanceId, Order, Page, TaskFilter};
use crate::store::access::Sight;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde_json::json;
use std::collections::BTreeSet;

/// A longer list than this is no better than looking at the tasks themselves, in their order.
const LONGEST: i64 = 25_000;
/// Ids that the index of texts knows as one.
const BLOCK: i64 = 64;
/// A text of one or two characters that so many sequences of three begin with is nearly everywhere.
const COMMON: usize = 128;
/// Sequences of three that a text is looked for by: with more there is no less to look at.
const TELLING: usize = 64;

/// Ids strictly between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) after: i64,
    pub(super) before: i64,
}

impl Window {
    pub(super) fn ids(self) -> i64 {
        self.before
            .saturating_sub(self.after)
            .saturating_sub(1)
            .max(0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.ids() == 0
    }

    /// The first so many ids in this order, and the others.
    pub(super) fn split(self, width: i64, order: Order) -> (Self, Self) {
        let Self { after, before } = self;
        let edge = match order {
            Order::Asc => before.min(after + width + 1),
            Order::Desc => after.max(before - width - 1),
        };
        match order {
            Order::Asc => (
                Self {
                    after,
                    before: edge,
                },
                Self {
                    after: edge - 1,
                    before,
                },
            ),
            Order::Desc => (
                Self {
                    after: edge,
                    before,
                },
                Self {
                    after,
                    before: edge + 1,
                },
            ),
        }
    }

    /// The last id in this order.
    pub(super) fn end(self, order: Order) -> i64 {
        match order {
            Order::Asc => self.before - 1,
            Order::Desc => self.after + 1,
        }
    }

    pub(super) fn page(self, order: Order) -> Page {
        Page {
            limit: None,
            after: Some(self.after),
            before: Some(self.before),
            order,
        }
    }

    fn both(self, other: Self) -> Self {
        Self {
            after: self.after.max(other.after),
            before: self.before.min(other.before),
        }
    }
}

/// The tasks that an index lists by a column: what the filter asks for there, or any of these values
/// (a JSON array).
pub(super) struct List {
    pub(super) index: &'static str,
    pub(super) column: &'static str,
    pub(super) any_of: Option<String>,
}

pub(super) enum Way {
    List(List),
    /// In the list's order; nothing is anywhere else.
    Windows(Vec<Window>),
}

/// `width` is how many ids one look takes.
pub(super) fn way(
    c: &Connection,
    filter: &TaskFilter,
    sight: &mut Sight,
    rest: Window,
    (width, order): (i64, Order),
) -> rusqlite::Result<Way> {
    if filter.pinned == Some(true) {
        // Few are, and their index has them alone.
        return Ok(Way::List(List {
            index: "tasks_pinned",
            column: "pinned",
            any_of: None,
        }));
    }
    let mut shortest = LONGEST + 1;
    let mut way = None;
    if !sight.is_everything() {
        let logins = logins(c, filter, sight)?;
        if logins.instances.is_empty() {
            return Ok(Way::Windows(Vec::new()));
        }
        let instances: Vec<Value> = logins.instances.into_iter().map(Value::from).collect();
        let users: Vec<Value> = logins.users.into_iter().map(Value::from).collect();
        for (index, column, values) in [
            ("tasks_by_instance", "instance", instances),
            ("tasks_by_user", "user", users),
        ] {
            let length = count(c, (index, column), &values, rest, shortest)?;
            if length < shortest {
                shortest = length;
                let any_of = Some(array(&values));
                way = Some(Way::List(List {
                    index,
                    column,
                    any_of,
                }));
            }
        }
    }
    for it in exact(filter) {
        let length = count(c, (it.index, it.column), &[it.value], rest, shortest)?;
        if length < shortest {
            shortest = length;
            way = Some(Way::List(List {
                index: it.index,
                column: it.column,
                any_of: None,
            }));
        }
    }
    if let Some(q) = &filter.q
        && shortest > BLOCK
        && let Some(windows) = blocks(c, q, rest, (width, order))?
        && (way.is_none() || windows.iter().map(|it| it.ids()).sum::<i64>() < shortest)
    {
        way = Some(Way::Windows(windows));
    }
    Ok(way.unwrap_or_else(|| Way::Windows(all(rest, width, order))))
}

fn all(mut rest: Window, width: i64, order: Order) -> Vec<Window> {
    let mut windows = Vec::new();
    while !rest.is_empty() {
        let (first, others) = rest.split(width, order);
        windows.push(first);
        rest = others;
    }
    windows
}

struct Logins {
    instances: BTreeSet<i64>,
    users: BTreeSet<String>,
}

/// Where and as whom those tasks ran that are in sight.
fn logins(c: &Connection, filter: &TaskFilter, sight: &mut Sight) -> rusqlite::Result<Logins> {
    let mut found = Logins {
        instances: BTreeSet::new(),
        users: BTreeSet::new(),
    };
    let mut statement = c.prepare_cached(
        "SELECT instance, user FROM logins
         WHERE (?1 IS NULL OR instance = ?1) AND (?2 IS NULL OR user = ?2)",
    )?;
    let mut rows = statement.query(params![filter.instance.map(|it| it.0), filter.user])?;
    while let Some(row) = rows.next()? {
        let (instance, user) = (row.get(0)?, row.get_ref(1)?.as_str()?);
        if sight.allows(InstanceId(instance), user)? {
            found.instances.insert(instance);
            if !found.users.contains(user) {
                found.users.insert(user.to_owned());
            }
        }
    }
    Ok(found)
}

fn array(values: &[Value]) -> String {
    let values = values.iter().map(|it| match it {
        Value::Integer(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Null | Value::Real(_) | Value::Blob(_) => json!(null),
    });
    serde_json::Value::Array(values.collect()).to_string()
}

/// How many tasks have one of these values, or `most`.
fn count(
    c: &Connection,
    (index, column): (&str, &str),
    values: &[Value],
    rest: Window,
    most: i64,
) -> rusqlite::Result<i64> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY {index}
         WHERE {column} = ?1 AND id > ?2 AND id < ?3 LIMIT ?4)"
    ))?;
    let mut sum = 0;
    for value in values {
        if sum >= most {
            break;
        }
        let left = params![value, rest.after, rest.before, most - sum];
        sum += statement.query_row(left, |row| row.get::<_, i64>(0))?;
    }
    Ok(sum)
}

/// Where a text may stand; none where the index cannot tell. What the index does not hold yet is
/// among it.
fn blocks(
    c: &Connection,
    q: &str,
    rest: Window,
    (width, order): (i64, Order),
) -> rusqlite::Result<Option<Vec<Window>>> {
    let Some(wanted) = wanted(c, &q.to_ascii_lowercase())? else {
        return Ok(None);
    };
    let upto: i64 = c
        .prepare_cached("SELECT upto FROM task_searched")?
        .query_row([], |row| row.get(0))?;
    let mut blocks = BTreeSet::new();
    if !wanted.is_empty() {
        let mut statement =
            c.prepare_cached("SELECT rowid FROM task_search WHERE task_search MATCH ?1")?;
        let mut rows = statement.query([wanted])?;
        while let Some(row) = rows.next()? {
            let found: i64 = row.get(0)?;
            // One that has another name or tag since stands there by its negative id.
            blocks.insert(if found < 0 {
                (-found - 1) / BLOCK
            } else {
                found
            });
        }
    }
    let of_block = |block: i64| Window {
        after: block * BLOCK,
        before: (block + 1) * BLOCK + 1,
    };
    let new = Window {
        after: upto,
        before: i64::MAX,
    };
    let known = blocks.into_iter().map(of_block).chain([new]);
    let mut windows: Vec<Window> = Vec::new();
    for part in known.map(|it| it.both(rest)).filter(|it| !it.is_empty()) {
        match windows.last_mut() {
            Some(last) if last.before == part.after + 1 && part.before - last.after <= width => {
                last.before = part.before;
            }
            Some(_) | None => windows.push(part),
        }
    }
    if order == Order::Desc {
        windows.reverse();
    }
    Ok(Some(windows))
}

/// The question to the index for a text in lower case; empty where no text has it, none where the
/// index is no help.
fn wanted(c: &Connection, text: &str) -> rusqlite::Result<Option<String>> {
    let quoted = |it: &str| format!("\"{}\"", it.replace('"', "\"\""));
    let chars: Vec<char> = text.chars().collect();
    if chars.len() >= 3 {
        let all: BTreeSet<String> = chars.windows(3).map(|it| it.iter().collect()).collect();
        let all: Vec<String> = all.iter().take(TELLING).map(|it| quoted(it)).collect();
        return Ok(Some(all.join(" ")));
    }
    if chars.is_empty() {
        return Ok(None);
    }
    let terms = c
        .prepare_cached(
            "SELECT term FROM task_search_terms WHERE term >= ?1 AND term < ?2 LIMIT ?3",
        )?
        .query_map(
            params![text, format!("{text}\u{10ffff}"), COMMON + 1],
            |row| row.get::<_, String>(0),
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if terms.len() > COMMON {
        return Ok(None);
    }
    let any: Vec<String> = terms.iter().map(|it| quoted(it)).collect();
    Ok(Some(any.join(" OR ")))
}
