//! How the service is told to stop: first gently, then at once.

use crate::domain::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// TERM and INT, from the moment that this is made.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// `Internal` where the system does not let us.
    pub(super) fn listen() -> Result<Self> {
        let open = |kind| signal(kind).map_err(Error::internal);
        Ok(Self {
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
