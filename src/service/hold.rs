//! What goes on for long goes on as long as whoever asked for it may have it.

use super::{Actor, Service, certificates};
use crate::domain::{ClientCertificate, Grant, Result};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether something has ended that nobody here was told of: by a command
/// beside the server, or by the time.
const EVERY: Duration = Duration::from_secs(1);

/// Whether what somebody was let in with still holds, for as long as they are answered.
pub struct Hold {
    service: Service,
    /// None for the command line.
    grant: Option<Grant>,
    certificate: Option<ClientCertificate>,
    changed: watch::Receiver<()>,
    /// None until the first look.
    looked: Option<Instant>,
}

impl Hold {
    /// What comes of `work`, where they may still have it then. Given up as soon as they may not.
    ///
    /// # Errors
    /// `Unauthenticated` where what they were let in with has ended; `Unavailable`.
    pub async fn keep<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            self.look().await?;
            let next = self.looked.map_or_else(Instant::now, |at| at + EVERY);
            tokio::select! {
                biased;
                done = &mut work => {
                    self.look().await?;
                    return Ok(done);
                }
                _ = self.changed.changed(), if self.grant.is_some() => self.looked = None,
                () = sleep_until(next), if self.grant.is_some() => {}
            }
        }
    }

    /// Looks where there may be something to see.
    async fn look(&mut self) -> Result<()> {
        let Some(grant) = self.grant else {
            return Ok(());
        };
        let due = self.looked.is_none_or(|at| at.elapsed() >= EVERY);
        if !due && !self.changed.has_changed().unwrap_or(true) {
            return Ok(());
        }
        // Before the look: what changes during it is looked at again.
        self.changed.mark_unchanged();
        self.looked = Some(Instant::now());
        let it = &self.service.inner;
        let now = it.clock.now();
        if self.certificate.as_ref().is_some_and(|it| !it.counts(now)) {
            return Err(certificates::ended());
        }
        let life = it.rules.session;
        it.store.check_grant(grant, life, now).await
    }
}

impl Service {
    /// For what goes on for long in the name of somebody.
    pub fn hold(&self, actor: &Actor) -> Hold {
        Hold {
            service: self.clone(),
            grant: actor.grant(),
            certificate: actor.certificate().cloned(),
            changed: self.inner.store.watch_access(),
            looked: None,
        }
    }
}
