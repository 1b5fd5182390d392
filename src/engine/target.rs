//! From an instance to a connection that is logged in there: the way through its jumps, the host
//! keys on it, and what the connection tells of the machine.

use super::Shared;
use crate::domain::{Hop, HostKey, Instance, InstanceId, Outcome};
use crate::ssh::{Failure, Session, Target};
use tokio::time::Instant;

/// Connects to an instance as a user, by the way that it has now. The first key that a machine
/// proves to hold is recorded before anything is done there.
///
/// # Errors
/// With the outcome and the reason that the task gets.
pub async fn connect(shared: &Shared, id: InstanceId, user: &str) -> Result<Session, Failure> {
    let way = shared.store.way(id).await.map_err(|error| {
        tracing::error!(instance = id.0, %error, "cannot read the way to an instance");
        Failure::new(
            Outcome::StartFailed,
            "The store did not tell how the instance is reached, so nothing was run. Post the \
             task again.",
        )
    })?;
    let Some(Hop { instance, .. }) = way.first() else {
        return Err(Failure::new(
            Outcome::StartFailed,
            "The instance was removed before the script began.",
        ));
    };
    connect_to(shared, instance, &way, user).await
}

async fn connect_to(
    shared: &Shared,
    instance: &Instance,
    _way: &[Hop],
    user: &str,
) -> Result<Session, Failure> {
    let target = Target {
        host: instance.ip.clone(),
        port: instance.port,
        user: user.to_owned(),
        host_key: instance.host_key.clone(),
        ..Target::default()
    };
    let begun = Instant::now();
    match shared.connector.connect(&target).await {
        Ok(session) => {
            let latency = begun.elapsed();
            let now = shared.clock.now();
            shared.health.seen(instance.id, now, Some(latency));
            trust(shared, instance, session.host_key()).await?;
            Ok(session)
        }
        Err(failure) => {
            let now = shared.clock.now();
            shared.health.failed(instance.id, now, &failure.reason);
            Err(failure)
        }
    }
}

/// Records the first key of an instance, which the server has proved to hold by now. Of two
/// connections that see different ones at once, only the first goes on. A trusted key ends what
/// another one that was shown has made known.
async fn trust(shared: &Shared, instance: &Instance, key: &HostKey) -> Result<(), Failure> {
    if instance.host_key.is_some() {
        if instance.shown_key.is_some()
            && let Err(error) = shared.store.note_shown_key(instance, None).await
        {
            tracing::warn!(instance = instance.id.0, %error, "cannot forget a key that was shown");
        }
        return Ok(());
    }
    let now = shared.clock.now();
    match shared.store.pin_host_key(instance, key.clone(), now).await {
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
