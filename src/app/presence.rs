//! What a running server says of itself beside its API: for `wsexec status`.

use super::failed;
use crate::domain::{Clock as _, Result, SystemClock};
use crate::service::Service;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// How often a server says how it is, and how long it may take to find out.
const PERIOD: Duration = Duration::from_secs(5);
/// How old its last word may be before it counts as silent, in seconds.
const SILENT: i64 = 20;

/// A server as it has seen itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// When it was started, in Unix seconds.
    pub since: i64,
    /// Where it listens.
    pub address: SocketAddr,
    /// Why it takes no work; none where it does.
    pub trouble: Option<String>,
    /// When this was so, in Unix seconds.
    pub at: i64,
}

/// Whether a server runs, and how it is.
#[derive(Debug)]
pub enum Presence {
    /// None does.
    Absent,
    /// One starts: it has said nothing yet.
    Starting,
    /// It has not said for a while how it is: it is stopped, or hangs.
    Silent(Server),
    /// This is how it is.
    Present(Server),
}

impl Presence {
    /// Looks at a data directory; changes nothing.
    pub(super) fn look(dir: &Path) -> Result<Self> {
        let Some(words) = Store::said(dir).map_err(failed)? else {
            return Ok(Self::Absent);
        };
        let Ok(server) = serde_json::from_str::<Server>(&words) else {
            return Ok(Self::Starting);
        };
        Ok(match SystemClock.now() - server.at {
            SILENT.. => Self::Silent(server),
            _ => Self::Present(server),
        })
    }

    /// Whether it runs and takes work.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Present(server) if server.trouble.is_none())
    }
}

/// Says how this server is.
#[derive(Clone)]
pub(super) struct Herald {
    store: Store,
    service: Service,
    address: SocketAddr,
    since: i64,
}

impl Herald {
    pub(super) fn new(store: Store, service: Service, address: SocketAddr) -> Self {
        Self {
            store,
            service,
            address,
            since: SystemClock.now(),
        }
    }

    /// Says it now.
    pub(super) async fn tell(&self) {
        let ready = timeout(PERIOD, self.service.ready()).await;
        let trouble = match ready {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.detail().to_owned()),
            Err(_) => Some("The store does not answer.".to_owned()),
        };
        let server = Server {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            address: self.address,
            trouble,
            at: SystemClock.now(),
        };
        let store = self.store.clone();
        let say = move || {
            store
                .say(&serde_json::to_string(&server).map_err(failed)?)
                .map_err(failed)
        };
        // A disk that hangs must not hold up the start or the stop.
        let said = timeout(PERIOD, tokio::task::spawn_blocking(say)).await;
        let said = said.map_err(failed).and_then(|it| it.map_err(failed)?);
        if let Err(error) = said {
            tracing::debug!(%error, "cannot say how the server is");
        }
    }

    /// Says it for as long as it is polled.
    pub(super) async fn keep(self) {
        let mut ticks = interval(PERIOD);
        loop {
            ticks.tick().await;
            self.tell().await;
        }
    }
}
