//! From an instance to a connection that is logged in there: the way through its jumps, the host
//! keys on it, and what the connection tells of the machines.

use super::Shared;
use super::identities::{At, Use, login_key};
use super::patience::patiently;
use crate::domain::{Hop, HostKey, Instance, InstanceId, InstanceState, Outcome, ShownKey};
use crate::ssh::{Failure, Lease, Target};

/// Connects to an instance as a user, by the way that it has now. The first key that a machine
/// proves to hold is recorded before anything is run.
///
/// # Errors
/// With the outcome and the reason that the task gets.
pub async fn connect(
    shared: &Shared,
    id: InstanceId,
    user: &str,
    used: Use,
) -> Result<Lease, Failure> {
    reach(shared, id, (user, used), false).await
}

/// As [`connect`], over a connection that waits for its next use, where there is one.
///
/// # Errors
/// As [`connect`].
pub async fn lease(
    shared: &Shared,
    id: InstanceId,
    user: &str,
    used: Use,
) -> Result<Lease, Failure> {
    reach(shared, id, (user, used), true).await
}

async fn reach(
    shared: &Shared,
    id: InstanceId,
    login: (&str, Use),
    reuse: bool,
) -> Result<Lease, Failure> {
    let way = patiently(shared, || shared.store.way(id)).await;
    let way = way.map_err(|error| {
        tracing::error!(instance = id.0, %error, "cannot read the way to an instance");
        Failure::new(
            Outcome::StartFailed,
            "The store did not tell how the instance is reached, so nothing was run. Post the \
             task again.",
        )
    })?;
    require_active(&way)?;
    let target = target(shared, &way, login).await?;
    let connected = match reuse {
        true => shared.connector.lease(&target).await,
        false => shared.connector.fresh(&target).await,
    };
    match connected {
        Ok(lease) => {
            arrived(shared, &way, &lease).await?;
            Ok(lease)
        }
        Err(failure) => {
            failed(shared, &way, &failure).await;
            Err(failure)
        }
    }
}

fn require_active(way: &[Hop]) -> Result<(), Failure> {
    let mut jumps = way.iter().skip(1).map(|hop| &hop.instance);
    match jumps.find(|jump| jump.state == InstanceState::Deactivate) {
        None => Ok(()),
        Some(jump) => Err(Failure::new(
            Outcome::Unreachable,
            format!(
                "Its jump, instance {}, is DEACTIVATE. Set it ACTIVE, or give the instance another \
                 jump.",
                jump.id
            ),
        )),
    }
}

/// Each machine on the way, with its own user, key to log in with, host key and library.
async fn target(
    shared: &Shared,
    way: &[Hop],
    (user, used): (&str, Use),
) -> Result<Target, Failure> {
    // Who jumps says as whom.
    let users = way.iter().map(|hop| hop.instance.jump_user.as_deref());
    let users = std::iter::once(None).chain(users);
    let hops: Vec<_> = way.iter().zip(users).collect();
    let mut target = None;
    for (hop, named) in hops.into_iter().rev() {
        let Hop { instance, revoked } = hop;
        let news = shared.health.of(instance.id).and_then(|news| news.library);
        let user = named.unwrap_or(user);
        let at = At {
            instance,
            user,
            r#use: used,
        };
        target = Some(Target {
            host: instance.ip.clone(),
            port: instance.port,
            user: user.to_owned(),
            host_key: instance.host_key.clone(),
            revoked: revoked.clone(),
            library: news.or(instance.health.library),
            key: login_key(shared, &at).await?,
            jump: target.map(Box::new),
        });
    }
    target.ok_or_else(|| {
        let reason = "The instance was removed before the script began.";
        Failure::new(Outcome::StartFailed, reason)
    })
}

/// Notes that each machine on the way was seen, and with which key.
async fn arrived(shared: &Shared, way: &[Hop], lease: &Lease) -> Result<(), Failure> {
    let now = shared.clock.now();
    for (n, (hop, seen)) in way.iter().zip(lease.way()).enumerate() {
        let id = hop.instance.id;
        let took = lease.took().filter(|_| n == 0);
        shared.health.seen(id, now, took, seen.library);
        // What an authority vouches for is not held against the next key that it certifies.
        match seen.certified {
            true => forget_shown(shared, &hop.instance).await,
            false => trust(shared, &hop.instance, seen.host_key).await?,
        }
    }
    Ok(())
}

/// Notes why the instance is not reached, and where on the way that was.
async fn failed(shared: &Shared, way: &[Hop], failure: &Failure) {
    let now = shared.clock.now();
    let at = |hop: &&Hop| {
        let Instance { ip, port, .. } = &hop.instance;
        failure
            .jump
            .as_ref()
            .is_some_and(|jump| (&jump.0, &jump.1) == (ip, port))
    };
    let jump = way.iter().skip(1).find(at);
    // A machine's banner or a message of its own may hold what it was told.
    let reason = shared.known().mask(&failure.reason);
    for hop in way.first().into_iter().chain(jump) {
        shared.health.failed(hop.instance.id, now, &reason);
    }
    let (Some(hop), Some(key)) = (jump.or(way.first()), &failure.shown) else {
        return;
    };
    let shown = ShownKey {
        key: HostKey::clone(key),
        at: now,
    };
    let id = hop.instance.id.0;
    if let Err(error) = shared
        .store
        .note_shown_key(&hop.instance, Some(shown))
        .await
    {
        tracing::warn!(instance = id, %error, "cannot note a key that was shown");
    }
}

/// Records the first key of an instance, which the server has proved to hold by now. Of two
/// connections that see different ones at once, only the first goes on. A trusted key ends what
/// another one that was shown has made known.
async fn trust(shared: &Shared, instance: &Instance, key: &HostKey) -> Result<(), Failure> {
    if instance.host_key.is_some() {
        forget_shown(shared, instance).await;
        return Ok(());
    }
    let now = shared.clock.now();
    let pin = || shared.store.pin_host_key(instance, key.clone(), now);
    match patiently(shared, pin).await {
        Ok(Some(on_record)) if on_record == *key => Ok(()),
        Ok(Some(on_record)) => Err(Failure::new(
            Outcome::HostKeyRefused,
            format!(
                "The host key of {} is {} and another connection has just recorded {}. Find out which is right \
                 before anything runs there.",
                instance.address(),
                key.fingerprint,
                on_record.fingerprint
            ),
        )),
        Ok(None) => Err(Failure::new(
            Outcome::StartFailed,
            "The instance was changed while the connection was made. Post the task again.",
        )),
        Err(error) => {
            tracing::error!(instance = instance.id.0, %error, "cannot record a host key");
            Err(Failure::new(
                Outcome::StartFailed,
                "The instance's first host key could not be recorded, so nothing was run. Post the task again.",
            ))
        }
    }
}

/// The machine has shown a trusted key since.
async fn forget_shown(shared: &Shared, instance: &Instance) {
    if instance.shown_key.is_none() {
        return;
    }
    if let Err(error) = shared.store.note_shown_key(instance, None).await {
        tracing::warn!(instance = instance.id.0, %error, "cannot forget a key that was shown");
    }
}
