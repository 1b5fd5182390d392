//! Whether what somebody was let in with still holds, and what of the store they may see: asked
//! inside the transaction that acts on it.

use super::Store;
use super::fault::Fault;
use super::sessions::{self, Lifetime};
use super::users::{self, UserKey};
use crate::domain::{
    By, Error, Grant, Instance, InstanceId, Kind, Labels, Place, Result, Role, Scopes, Task, Via,
};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tokio::sync::watch;

/// # Errors
/// `Unauthenticated` where the login has ended, or the user's rights are others by now.
pub(super) fn check(c: &Connection, by: &By) -> Result<(), Fault> {
    match by.grant {
        Some(grant) if !holds(c, grant, by.at)? => Err(ended().into()),
        Some(_) | None => Ok(()),
    }
}

fn ended() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "This login has ended, or what it may do has changed. Log in again.",
    )
}

fn holds(c: &Connection, grant: Grant, now: i64) -> rusqlite::Result<bool> {
    let user: bool = c
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND access = ?2 AND NOT disabled)",
        )?
        .query_row(params![grant.user.0, grant.access], |row| row.get(0))?;
    Ok(user
        && match grant.via {
            Via::Local | Via::Password | Via::Certificate => true,
            Via::Session(id) => c
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1)")?
                .query_row([id.0], |row| row.get(0))?,
            Via::Token(id) => c
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = ?1 AND expires > ?2)",
                )?
                .query_row([id.0, now], |row| row.get(0))?,
        })
}

/// Whether a task is in these scopes: its login user on its instance.
pub(super) fn sees_task(c: &Connection, scopes: &Scopes, it: &Task) -> rusqlite::Result<bool> {
    Sight::new(c, scopes.clone()).allows(it.instance, &it.user)
}

/// What somebody sees, over many rows: each instance is looked up once, and each login there judged
/// once.
pub(super) struct Sight<'c> {
    c: &'c Connection,
    scopes: Scopes,
    known: HashMap<InstanceId, Known>,
}

struct Known {
    ip: Option<String>,
    labels: Labels,
    logins: HashMap<String, bool>,
}

impl<'c> Sight<'c> {
    pub(super) fn new(c: &'c Connection, scopes: Scopes) -> Self {
        let known = HashMap::new();
        Self { c, scopes, known }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.scopes.are_everything()
    }

    pub(super) fn sees(&self, id: InstanceId, ip: &str, labels: &Labels) -> bool {
        let ip = Some(ip);
        self.scopes.see(Place { id, ip, labels })
    }

    /// Whether a task is theirs to see: its login user on its instance.
    pub(super) fn allows(&mut self, id: InstanceId, login: &str) -> rusqlite::Result<bool> {
        if self.is_everything() {
            return Ok(true);
        }
        let known = match self.known.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(known(self.c, id)?),
        };
        if let Some(allowed) = known.logins.get(login) {
            return Ok(*allowed);
        }
        let place = Place {
            id,
            ip: known.ip.as_deref(),
            labels: &known.labels,
        };
        let allowed = self.scopes.allow(login, place);
        known.logins.insert(login.to_owned(), allowed);
        Ok(allowed)
    }
}

/// What a removed instance was called and labelled nobody knows any more.
fn known(c: &Connection, id: InstanceId) -> rusqlite::Result<Known> {
    let found = c
        .prepare_cached("SELECT ip, labels FROM instances WHERE id = ?1")?
        .query_row([id.0], |row| {
            Ok((row.get::<_, String>(0)?, super::instances::labels(row, 1)?))
        })
        .optional()?;
    let (ip, labels) = found.unzip();
    Ok(Known {
        ip,
        labels: labels.unwrap_or_default(),
        logins: HashMap::new(),
    })
}

/// What is wrong with beginning a task now: whoever posted it might not post it any more. Nobody's
/// task, from before owners were kept, is not asked about.
pub(super) fn lapsed(
    c: &Connection,
    it: &Task,
    on: &Instance,
) -> rusqlite::Result<Option<&'static str>> {
    let Some(owner) = it.owner else {
        return Ok(None);
    };
    let why = match users::get(c, &UserKey::Id(owner))? {
        None => "was removed",
        Some(user) if user.disabled => "was disabled",
        Some(user) if !Role::RUN_TASKS.contains(&user.role) => "may run nothing any more",
        Some(user) if !user.scope.allows(&it.user, on.into()) => "may not run that there any more",
        Some(_) => return Ok(None),
    };
    Ok(Some(why))
}

/// An instance, where these scopes see it.
pub(super) fn seen(scopes: &Scopes, it: Option<Instance>) -> Option<Instance> {
    it.filter(|it| scopes.see(it.into()))
}

/// The function that instances are narrowed by: `sees(SCOPES, ID, IP, LABELS)`.
pub(super) fn teach(c: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let wrong = |why: String| rusqlite::Error::UserFunctionError(why.into());
    let place_of = move |context: &rusqlite::functions::Context, first: usize| {
        let labels: Option<String> = context.get(first + 2)?;
        let labels = labels.as_deref().map(serde_json::from_str).transpose();
        let labels = labels
            .map_err(|e| wrong(e.to_string()))?
            .unwrap_or_default();
        let ip: Option<String> = context.get(first + 1)?;
        Ok::<_, rusqlite::Error>((InstanceId(context.get(first)?), ip, labels))
    };
    let scopes_of = move |context: &rusqlite::functions::Context| {
        // Read once for each statement.
        context.get_or_create_aux(0, |text| {
            let text = text.as_str().map_err(|e| e.to_string())?;
            Scopes::parse(text)
        })
    };
    c.create_scalar_function("sees", 4, flags, move |context| {
        let (id, ip, labels) = place_of(context, 1)?;
        let place = Place {
            id,
            ip: ip.as_deref(),
            labels: &labels,
        };
        Ok(scopes_of(context)?.see(place))
    })
}

impl Store {
    /// Whether what somebody was let in with still holds: for what goes on for long. A session lives
    /// as long as `life` says.
    ///
    /// # Errors
    /// `Unauthenticated` where it does not; `Unavailable`.
    pub async fn check_grant(&self, grant: Grant, life: Lifetime, now: i64) -> Result<()> {
        let holds = self.read(move |c| {
            Ok(holds(c, grant, now)?
                && match grant.via {
                    Via::Session(id) => sessions::lives(c, id, life, now)?,
                    Via::Local | Via::Password | Via::Token(_) | Via::Certificate => true,
                })
        });
        match holds.await? {
            true => Ok(()),
            false => Err(ended()),
        }
    }

    /// Wakes whenever somebody may be logged in with less than before, by what this process does:
    /// what a command beside it does has to be looked for.
    pub fn watch_access(&self) -> watch::Receiver<()> {
        self.inner.access.subscribe()
    }

    pub(super) fn access_changed(&self) {
        self.inner.access.send_replace(());
    }
}
