//! How the service is told to stop: first gently, then at once.

use crate::domain::{Error, Result};
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that mean the end, from the moment that this is made.
pub(super) struct StopSignals(Vec<Signal>);

impl StopSignals {
    /// TERM and INT.
    ///
    /// # Errors
    /// `Internal` where the system does not let us listen.
    pub(super) fn listen() -> Result<Self> {
        Self::to(&[SignalKind::terminate(), SignalKind::interrupt()])
    }

    /// HUP too, for what ends with its terminal.
    ///
    /// # Errors
    /// As [`StopSignals::listen`].
    pub(super) fn listen_with_hangup() -> Result<Self> {
        Self::to(&[
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ])
    }

    fn to(kinds: &[SignalKind]) -> Result<Self> {
        let signals = kinds.iter().map(|kind| signal(*kind));
        signals
            .collect::<std::io::Result<_>>()
            .map(Self)
            .map_err(Error::internal)
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) {
        select_all(self.0.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
}
