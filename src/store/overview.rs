//! What is looked at first: a few rows of each kind and the figures of a day, each read bounded
//! whatever the history holds.

use super::access::Sight;
use super::rows::unknown_word;
use super::{Store, instances, tasks};
use crate::domain::{
    Begun, Day, Fate, Hour, Instance, InstanceId, Labels, Overview, Part, Result, Scopes, Task,
    TaskId, UserId,
};
use rusqlite::{Connection, ToSql, params};

/// Rows of each kind that are shown.
const SHOWN: usize = 8;
/// Rows of each kind that are looked at and counted.
const LOOK: usize = 1_000;
/// Tasks that a day is counted from for whoever does not see everything.
const ENDED: usize = 20_000;
const HOUR: i64 = 3_600;
const HOURS: i64 = 24;

/// Who looks.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// What they see.
    pub scopes: Scopes,
    /// Who they are.
    pub user: Option<UserId>,
    /// Whether they may be the second person.
    pub decides: bool,
    /// Whether they decide about host keys.
    pub reviews: bool,
}

struct Look<'c> {
    c: &'c Connection,
    sight: Sight<'c>,
    now: i64,
}

impl Look<'_> {
    /// `rest` is all behind `FROM tasks`. What is in nobody's way is not read: a login stands
    /// behind a script that may be long.
    fn tasks(&mut self, rest: &str, values: &[&dyn ToSql]) -> rusqlite::Result<Part<Task>> {
        let login = match self.sight.is_everything() {
            true => "''",
            false => "user",
        };
        let limit = LOOK + 1;
        let sql = format!("SELECT id, instance, {login} FROM tasks {rest} LIMIT {limit}");
        let mut part = Part::default();
        let mut looked = 0;
        let mut statement = self.c.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            looked += 1;
            let instance = InstanceId(row.get(1)?);
            if looked > LOOK || !self.sight.allows(instance, row.get_ref(2)?.as_str()?)? {
                continue;
            }
            part.count += 1;
            if part.shown.len() < SHOWN {
                part.shown.extend(tasks::get(self.c, TaskId(row.get(0)?))?);
            }
        }
        part.more = looked > LOOK;
        Ok(part)
    }

    /// `from` is all behind `FROM`; the instances are `i`.
    fn instances(&mut self, from: &str) -> rusqlite::Result<Part<Instance>> {
        let limit = LOOK + 1;
        let sql = format!("SELECT i.id, i.ip, i.labels FROM {from} LIMIT {limit}");
        let mut part = Part::default();
        let mut looked = 0;
        let mut statement = self.c.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            looked += 1;
            let id = InstanceId(row.get(0)?);
            let labels: Labels = instances::labels(row, 2)?;
            if looked > LOOK || !self.sight.sees(id, row.get_ref(1)?.as_str()?, &labels) {
                continue;
            }
            part.count += 1;
            if part.shown.len() < SHOWN {
                part.shown.extend(instances::get(self.c, id)?);
            }
        }
        part.more = looked > LOOK;
        Ok(part)
    }

    fn begun(&mut self) -> rusqlite::Result<Begun> {
        let begun = self
            .c
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM instances),
                     EXISTS (SELECT 1 FROM instances WHERE host_key_fingerprint IS NOT NULL)
                     OR EXISTS (SELECT 1 FROM tasks WHERE state = 'DONE'),
                     EXISTS (SELECT 1 FROM tasks)",
            )?
            .query_row([], |row| {
                Ok(Begun {
                    instance: row.get(0)?,
                    host_key: row.get(1)?,
                    task: row.get(2)?,
                    first: None,
                })
            })?;
        let first = match begun.is_over() {
            true => None,
            false => self
                .instances("instances i ORDER BY i.id")?
                .shown
                .first()
                .map(|it| it.id),
        };
        Ok(Begun { first, ..begun })
    }

    fn overview(&mut self, viewer: &Viewer) -> rusqlite::Result<Overview> {
        let me = viewer.user.map(|it| it.0);
        let day = self.now - HOURS * HOUR;
        let undecided = "INDEXED BY tasks_to_approve WHERE approval = 'waiting'
             AND approval_expires > ?1 AND owner";
        let order = "ORDER BY approval_expires, id";
        let waits: [&dyn ToSql; 2] = [&self.now.clone(), &me];
        Ok(Overview {
            running: self.tasks("WHERE state = 'CURRENT' ORDER BY id DESC", &[])?,
            waiting: self.tasks("WHERE state = 'INIT' ORDER BY id", &[])?,
            failed: self.tasks(
                "INDEXED BY tasks_failed WHERE fate IN ('failed', 'aborted') AND \"end\" > ?1
                 ORDER BY \"end\" DESC, id DESC",
                &[&day],
            )?,
            to_decide: match viewer.decides {
                true => self.tasks(&format!("{undecided} IS NOT ?2 {order}"), &waits)?,
                false => Part::default(),
            },
            undecided: match me {
                Some(_) => {
                    self.tasks(&format!("{undecided} = ?2 {order}"), &waits)?
                        .count
                }
                None => 0,
            },
            to_review: match viewer.reviews {
                true => self.instances(
                    "instances i INDEXED BY instances_to_review WHERE shown_at IS NOT NULL
                     ORDER BY shown_at DESC",
                )?,
                false => Part::default(),
            },
            failing: self.instances(
                "instance_health h INDEXED BY instances_failing CROSS JOIN instances i
                 ON i.id = h.instance AND i.state = 'ACTIVE' WHERE h.error_at IS NOT NULL
                 AND (h.seen IS NULL OR h.seen < h.error_at) ORDER BY h.error_at DESC",
            )?,
            begun: self.begun()?,
        })
    }
}

/// What ended in each of the last hours.
struct Tally {
    first: i64,
    hours: Vec<Vec<(Fate, Option<i64>, u64)>>,
}

impl Tally {
    fn until(now: i64) -> Self {
        Self {
            first: now / HOUR - HOURS + 1,
            hours: (0..HOURS).map(|_| Vec::new()).collect(),
        }
    }

    /// What ended past the hour that the clock shows is not told of yet.
    fn add(&mut self, hour: i64, fate: &str, took: i64, n: u64) -> rusqlite::Result<()> {
        let fate = Fate::parse(fate).ok_or_else(|| unknown_word(1, fate.to_owned()))?;
        let place = usize::try_from(hour - self.first).ok();
        if let Some(hour) = place.and_then(|place| self.hours.get_mut(place)) {
            hour.push((fate, Some(took).filter(|it| *it >= 0), n));
        }
        Ok(())
    }

    fn day(self, since: Option<i64>) -> Day {
        let begins = (self.first..).map(|hour| hour * HOUR);
        Day {
            hours: begins
                .zip(self.hours)
                .map(|(begin, what)| Hour::new(begin, what))
                .collect(),
            since,
        }
    }
}

/// For whoever sees everything.
fn day_of_all(c: &Connection, now: i64) -> rusqlite::Result<Day> {
    let mut tally = Tally::until(now);
    let mut statement =
        c.prepare_cached("SELECT hour, fate, took, n FROM ended_hours WHERE hour >= ?1 AND n > 0")?;
    let mut rows = statement.query([tally.first])?;
    while let Some(row) = rows.next()? {
        let fate = row.get_ref(1)?.as_str()?;
        tally.add(row.get(0)?, fate, row.get(2)?, row.get(3)?)?;
    }
    Ok(tally.day(None))
}

fn day_of_some(c: &Connection, scopes: Scopes, now: i64) -> rusqlite::Result<Day> {
    let mut tally = Tally::until(now);
    let mut sight = Sight::new(c, scopes);
    let mut statement = c.prepare_cached(
        "SELECT at, instance, user, fate, took FROM ended_tasks WHERE at >= ?1
         ORDER BY at DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![tally.first * HOUR, ENDED])?;
    let (mut looked, mut oldest) = (0, now);
    while let Some(row) = rows.next()? {
        looked += 1;
        oldest = row.get(0)?;
        let instance = InstanceId(row.get(1)?);
        if sight.allows(instance, row.get_ref(2)?.as_str()?)? {
            let fate = row.get_ref(3)?.as_str()?;
            tally.add(oldest / HOUR, fate, row.get(4)?, 1)?;
        }
    }
    Ok(tally.day((looked >= ENDED).then_some(oldest)))
}

impl Store {
    /// What runs, what failed, what waits for somebody, as far as the viewer sees it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn overview(&self, viewer: Viewer, now: i64) -> Result<Overview> {
        self.read(move |c| {
            let sight = Sight::new(c, viewer.scopes.clone());
            Look { c, sight, now }.overview(&viewer)
        })
        .await
    }

    /// What ended in the last 24 hours, as far as these scopes see it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn last_day(&self, scopes: Scopes, now: i64) -> Result<Day> {
        self.read(move |c| match scopes.are_everything() {
            true => day_of_all(c, now),
            false => day_of_some(c, scopes, now),
        })
        .await
    }
}
