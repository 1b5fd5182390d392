//! The ways to instances: each may be reached through another one.

use super::fault::Fault;
use super::{Store, access, host_keys, instances};
use crate::domain::{By, Error, Hop, Instance, InstanceId, Result};
use rusqlite::{Connection, params};

/// Checks the way that an instance would have: `id` is none for one that is not there yet. Nobody
/// goes through an instance that they do not see.
///
/// # Errors
/// `NotFound` for a jump that is not there; `Conflict` for a way that comes back or is too long.
pub(super) fn check(
    c: &Connection,
    by: &By,
    id: Option<InstanceId>,
    jump: Option<InstanceId>,
) -> Result<(), Fault> {
    let Some(jump) = jump else { return Ok(()) };
    if Some(jump) == id {
        return Err(Error::conflict("jump: an instance cannot be reached through itself.").into());
    }
    if access::seen(&by.scopes, instances::get(c, jump)?).is_none() {
        return Err(Error::not_found("jump: there is no such instance.").into());
    }
    let mut before = 0;
    let mut next = Some(jump);
    while let Some(hop) = next {
        if Some(hop) == id {
            return Err(Error::conflict(format!(
                "jump: instance {jump} is itself reached through this one, so that neither could \
                 be reached."
            ))
            .into());
        }
        before += 1;
        if before > Instance::JUMPS {
            break;
        }
        next = instances::get(c, hop)?.and_then(|instance| instance.jump);
    }
    let behind = match id {
        Some(id) => behind(c, id)?,
        None => 0,
    };
    if before + behind > Instance::JUMPS {
        return Err(Error::conflict(format!(
            "jump: the way would lead through more than {} instances.",
            Instance::JUMPS
        ))
        .into());
    }
    Ok(())
}

/// How many instances, at most, stand one behind the other behind this one.
fn behind(c: &Connection, id: InstanceId) -> rusqlite::Result<usize> {
    c.prepare_cached(
        "WITH RECURSIVE behind (id, depth) AS (
             SELECT ?1, 0
             UNION ALL
             SELECT i.id, depth + 1 FROM behind JOIN instances i ON i.jump = behind.id WHERE depth <= ?2
         ) SELECT max(depth) FROM behind",
    )?
    .query_row(params![id.0, Instance::JUMPS], |row| row.get(0))
}

/// Refuses where others are reached through this one.
pub(super) fn require_unused(c: &Connection, by: &By, id: InstanceId) -> Result<(), Fault> {
    const NAMED: usize = 10;
    let used = "SELECT EXISTS (SELECT 1 FROM instances WHERE jump = ?1)";
    if !c
        .prepare_cached(used)?
        .query_row([id.0], |row| row.get(0))?
    {
        return Ok(());
    }
    let mut through = c
        .prepare_cached(
            "SELECT id FROM instances WHERE jump = ?1 AND sees(?3, id, ip, labels) ORDER BY id LIMIT ?2",
        )?
        .query_map(params![id.0, NAMED + 1, by.scopes.to_string()], |row| {
            row.get::<_, i64>(0)
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if through.is_empty() {
        // Which ones is not for them to know.
        return Err(Error::conflict("Other instances are reached through this one.").into());
    }
    let more = through.len() > NAMED;
    through.truncate(NAMED);
    let names: Vec<_> = through.iter().map(i64::to_string).collect();
    Err(Error::conflict(format!(
        "Other instances are reached through this one: {}{}. Give them another jump first.",
        names.join(", "),
        if more { " and more" } else { "" }
    ))
    .into())
}

impl Store {
    /// The way to an instance: itself, then its jump, then that one's, to the one that is reached
    /// directly. Empty where there is no such instance.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn way(&self, id: InstanceId) -> Result<Vec<Hop>> {
        self.read(move |c| way(c, id)).await
    }
}

/// As [`Store::way`], inside whatever transaction the connection is in.
pub(super) fn way(c: &Connection, id: InstanceId) -> rusqlite::Result<Vec<Hop>> {
    let mut way = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next
        && way.len() <= Instance::JUMPS
    {
        let Some(instance) = instances::get(c, id)? else {
            break;
        };
        next = instance.jump;
        let revoked = host_keys::revoked(c, id)?;
        way.push(Hop { instance, revoked });
    }
    Ok(way)
}
