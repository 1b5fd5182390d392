//! Keeps what the acceptor shows fresh: takes up files that have changed, and renews a certificate
//! before its end.

use super::acceptor::Current;
use super::files::{self, Stamp};
use super::{Acceptor, Error, acme, authority, certificate};
use crate::config;
use crate::domain::jittered;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often the end of the certificate is looked at.
const ASK: Duration = Duration::from_secs(60 * 60);
/// The pause after a renewal, and after one that failed: at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(6 * 60 * 60));
/// When a certificate that is not renewed here is spoken of, in seconds before its end.
const SOON: i64 = 14 * 24 * 60 * 60;

/// Keeps an acceptor fresh; cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    config: config::Tls,
    acceptor: Acceptor,
    files: Mutex<Files>,
    /// Somebody asks for everything to be looked at now.
    asked: watch::Sender<()>,
}

/// The files as they were when they were last looked at: certificate, key, and those about clients.
type Stamps = [Stamp; 4];

#[derive(Default)]
struct Files {
    /// What is shown.
    taken: Option<Stamps>,
    /// What could not be used when it was looked at first. It is told when it is still so at the
    /// next look: two files do not change at once.
    refused: Option<Stamps>,
    told: bool,
}

/// What became of a renewal.
enum Renewal {
    NotDue,
    Done,
    /// It is for the ACME server to make.
    Order,
    /// It ends, and nothing here can make another one.
    Cannot,
}

impl Keeper {
    /// For an acceptor and what it was made of.
    pub fn new(config: config::Tls, acceptor: Acceptor) -> Self {
        Self(Arc::new(Inner {
            config,
            acceptor,
            files: Mutex::default(),
            asked: watch::Sender::new(()),
        }))
    }

    /// Has the files looked at now, and what failed before tried again.
    pub fn ask(&self) {
        self.0.asked.send_replace(());
    }

    /// Does its work for ever; can be dropped at any point.
    pub async fn run(self) {
        tokio::join!(self.look_after_files(), self.look_after_end());
    }

    async fn look_after_files(&self) {
        let mut asked = self.0.asked.subscribe();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = tokio::select! {
                _ = ticks.tick() => false,
                _ = asked.changed() => true,
            };
            self.look(now).await;
        }
    }

    async fn look(&self, now: bool) {
        let it = self.0.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || it.look(now)).await {
            tracing::error!(%error, "the look at the certificate failed");
        }
    }

    async fn look_after_end(&self) {
        let (mut asked, mut current) = (self.0.asked.subscribe(), self.0.acceptor.watch());
        let mut failures = 0;
        loop {
            current.mark_unchanged();
            let renewed = self.renew().await;
            let (pause, at_change) = match renewed {
                Ok(Renewal::NotDue | Renewal::Cannot) => (self.until_asked(), true),
                // Its own change is no reason to look again.
                Ok(Renewal::Done | Renewal::Order) => (PAUSE.0, false),
                Err(_) => {
                    let pause = PAUSE.0.saturating_mul(1 << failures.min(16));
                    (jittered(pause.min(PAUSE.1)), true)
                }
            };
            failures = match renewed {
                Ok(_) => 0,
                Err(error) => {
                    let again = pause.as_secs();
                    tracing::warn!(%error, again_in_s = again, "the certificate is not renewed");
                    failures + 1
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = asked.changed() => {}
                _ = current.changed(), if at_change => {}
            }
        }
    }

    /// Its end is told when it comes.
    fn until_asked(&self) -> Duration {
        let left = self
            .0
            .acceptor
            .certificate()
            .seconds_left(certificate::now());
        match u64::try_from(left) {
            Ok(left) => ASK.min(Duration::from_secs(left + 1)),
            Err(_) => ASK,
        }
    }

    async fn renew(&self) -> Result<Renewal, Error> {
        let it = self.0.clone();
        let renewed = tokio::task::spawn_blocking(move || it.renew())
            .await
            .map_err(Error::library)??;
        if let (Renewal::Order, Some(acme)) = (&renewed, &self.0.config.acme) {
            let (config, challenges) = (&self.0.config, self.0.acceptor.challenges());
            acme::order(config, acme, challenges).await?;
            tracing::info!(
                directory = acme.directory,
                "a certificate was issued by ACME"
            );
            self.look(false).await;
            return Ok(Renewal::Done);
        }
        if matches!(renewed, Renewal::Done) {
            self.look(false).await;
        }
        Ok(renewed)
    }
}

impl Inner {
    /// What can be done without the network.
    fn renew(&self) -> Result<Renewal, Error> {
        let certificate = self.acceptor.certificate();
        if let Some(acme) = &self.config.acme {
            let due = acme::is_due(&self.config, acme, &certificate)?;
            return Ok(if due { Renewal::Order } else { Renewal::NotDue });
        }
        let now = certificate::now();
        if !certificate.is_due(now) {
            return Ok(Renewal::NotDue);
        }
        if authority::renew(&self.config, &certificate)? {
            return Ok(Renewal::Done);
        }
        if let Some(warning) = certificate.warning() {
            tracing::warn!("{warning}");
        } else if certificate.seconds_left(now) < SOON {
            let end = certificate.origin();
            tracing::warn!("the certificate, {end}, ends soon and is not renewed here: replace it");
        }
        Ok(Renewal::Cannot)
    }

    /// Takes up what has changed; `now` says that somebody waits for an answer in the log.
    fn look(&self, now: bool) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.stamps();
        if files.taken == Some(stamps) && !now {
            files.refused = None;
            return;
        }
        match self.load() {
            Ok(changed) => {
                *files = Files {
                    taken: Some(stamps),
                    ..Files::default()
                };
                if changed || now {
                    let certificate = self.acceptor.certificate();
                    tracing::info!(
                        sha256 = certificate.fingerprint(),
                        changed,
                        "certificate read again"
                    );
                }
            }
            Err(error) => {
                let again = files.refused == Some(stamps);
                if now || (again && !files.told) {
                    tracing::error!(%error, "the changed certificate is not used, the old one stays");
                    files.told = true;
                } else if !again {
                    files.told = false;
                }
                files.refused = Some(stamps);
            }
        }
    }

    fn stamps(&self) -> Stamps {
        let it = &self.config;
        let stamp = |path: &Option<_>| path.as_deref().and_then(files::stamp);
        [
            files::stamp(&it.cert),
            files::stamp(&it.key),
            stamp(&it.client_ca),
            stamp(&it.client_crl),
        ]
    }

    /// Gives whether anything is different from before.
    fn load(&self) -> Result<bool, Error> {
        let old = self.acceptor.current();
        let found = certificate::load(&self.config.cert, &self.config.key)?;
        let new = Current::new(&self.config, found, old.clients.as_ref())?;
        if new.is_like(&old) {
            return Ok(false);
        }
        if let Some(warning) = new.certificate.warning() {
            tracing::warn!("{warning}");
        }
        self.acceptor.exchange(new);
        Ok(true)
    }
}
