//! What goes by itself: of the tasks that have ended, the oldest, a few at a time.

use super::audit::{self, Act};
use super::{Store, tasks};
use crate::domain::{By, Labels, Limit, Limits, Result, Retention, TaskId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Tasks that go in one commit at most.
const BATCH: usize = 64;
/// How long one of these writes may hold the writer, but for its last task.
pub(super) const TURN: Duration = Duration::from_millis(8);
/// Instances whose oldest task one read looks up.
const INSTANCES: usize = 1_000;

/// A task that may go. The one that ended first is the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Expendable {
    end: i64,
    id: i64,
    instance: i64,
    bytes: u64,
}

/// Tasks that have limits in common, with the oldest one of each of their instances.
#[derive(Debug, Clone, Default)]
pub struct Group {
    label: Option<String>,
    limits: Limits,
    tasks: u64,
    bytes: u64,
    instances: Vec<i64>,
    oldest: BinaryHeap<Reverse<Expendable>>,
}

/// What went in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Which tasks.
    pub tasks: Vec<TaskId>,
    /// How many bytes of output they had.
    pub bytes: u64,
    /// By which limit.
    pub limit: Limit,
}

fn expendable(row: &Row) -> rusqlite::Result<Expendable> {
    Ok(Expendable {
        end: row.get(0)?,
        id: row.get(1)?,
        instance: row.get(2)?,
        bytes: row.get(3)?,
    })
}

/// The oldest one of an instance that may go.
fn oldest(c: &Connection, instance: i64) -> rusqlite::Result<Option<Expendable>> {
    c.prepare_cached(
        "SELECT \"end\", id, instance, expendable FROM tasks INDEXED BY tasks_expendable
         WHERE expendable IS NOT NULL AND instance = ?1 ORDER BY \"end\", id LIMIT 1",
    )?
    .query_row([instance], expendable)
    .optional()
}

impl Group {
    fn passed(&self, oldest: i64, now: i64) -> Option<Limit> {
        self.limits.passed((self.tasks, self.bytes), oldest, now)
    }

    /// Takes the oldest ones out until no limit is passed, or it is enough for one commit.
    fn expire(&mut self, c: &Connection, now: i64) -> rusqlite::Result<Option<Expired>> {
        let began = Instant::now();
        let mut expired: Option<Expired> = None;
        while let Some(&Reverse(it)) = self.oldest.peek() {
            let Some(limit) = self.passed(it.end, now) else {
                break;
            };
            let gone = expired.get_or_insert_with(|| Expired {
                tasks: Vec::new(),
                bytes: 0,
                limit,
            });
            if gone.limit != limit || gone.tasks.len() >= BATCH || began.elapsed() > TURN {
                break;
            }
            self.oldest.pop();
            self.tasks = self.tasks.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(it.bytes);
            // Somebody may have pinned or removed it meanwhile.
            if is_expendable(c, it.id)? {
                tasks::delete(c, TaskId(it.id))?;
                gone.tasks.push(TaskId(it.id));
                gone.bytes += it.bytes;
            }
            self.oldest.extend(oldest(c, it.instance)?.map(Reverse));
        }
        Ok(expired)
    }
}

fn is_expendable(c: &Connection, id: i64) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE id = ?1 AND expendable IS NOT NULL)",
    )?
    .query_row([id], |row| row.get(0))
}

/// Adds up what may go, by group.
fn add_up(c: &Connection, rules: &Retention) -> rusqlite::Result<Vec<Group>> {
    let begun = rules.groups().map(|(label, limits)| Group {
        label: label.map(ToString::to_string),
        limits,
        ..Group::default()
    });
    let mut groups: Vec<Group> = begun.collect();
    let mut statement = c.prepare_cached(
        "SELECT e.instance, e.tasks, e.bytes, coalesce(i.labels, r.labels, '{}') FROM expendable e
         LEFT JOIN instances i ON i.id = e.instance LEFT JOIN removed_instances r ON r.id = e.instance",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let labels: Labels = serde_json::from_str(row.get_ref(3)?.as_str()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into())
        })?;
        let group = &mut groups[rules.group_of(&labels)];
        group.instances.push(row.get(0)?);
        group.tasks += row.get::<_, u64>(1)?;
        group.bytes += row.get::<_, u64>(2)?;
    }
    Ok(groups)
}

impl Store {
    /// The tasks that limits are passed by, each group with those that are to go first: what this
    /// reads grows with the instances, and not with the tasks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn overdue_tasks(&self, rules: &Retention, now: i64) -> Result<Vec<Group>> {
        let rules = rules.clone();
        let groups = self.read(move |c| add_up(c, &rules)).await?;
        let mut overdue = Vec::new();
        for mut group in groups.into_iter().filter(|it| !it.limits.are_none()) {
            let instances = std::mem::take(&mut group.instances);
            for part in instances.chunks(INSTANCES) {
                let part = part.to_vec();
                let found = self.read(move |c| {
                    let found = part.into_iter().map(|instance| oldest(c, instance));
                    found.collect::<rusqlite::Result<Vec<_>>>()
                });
                // Where there are not too many, those that are not too old need not be held.
                let mut first: Vec<_> = found.await?.into_iter().flatten().collect();
                first.retain(|it| group.passed(it.end, now).is_some());
                group.oldest.extend(first.into_iter().map(Reverse));
            }
            if !group.oldest.is_empty() {
                overdue.push(group);
            }
        }
        Ok(overdue)
    }

    /// Removes the oldest ones of a group, as somebody would who may, and puts that on record: as
    /// many as a short commit takes. None where no limit is passed any more. Gives what is left of
    /// the group.
    ///
    /// # Errors
    /// `Unavailable`: nothing is removed.
    pub async fn expire_tasks(&self, group: Group, now: i64) -> Result<(Group, Option<Expired>)> {
        self.write_freeing(move |c| {
            let mut group = group.clone();
            let expired = group.expire(c, now)?;
            if let Some(gone) = expired.as_ref().filter(|it| !it.tasks.is_empty()) {
                let ids: Vec<i64> = gone.tasks.iter().map(|id| id.0).collect();
                let act = Act {
                    action: "task.expire",
                    object: "tasks".into(),
                    detail: json!({
                        "limit": gone.limit.as_str(), "label": group.label, "tasks": ids,
                        "bytes": gone.bytes,
                    }),
                };
                let count = i64::try_from(gone.tasks.len()).unwrap_or(i64::MAX);
                audit::append_counted(c, &By::server(now), act, count)?;
            }
            Ok((group, expired))
        })
        .await
    }
}
