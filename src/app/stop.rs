//! How the service is told to stop: first gently, then at once.

use crate::domain::{Error, Result};
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that mean the end, from the moment that this is made, and one that does not.
pub(super) struct StopSignals {
    stop: Vec<Signal>,
    reload: Option<Signal>,
}

/// What a signal asks for.
pub(super) enum Event {
    Stop,
    /// The certificate may be another one.
    Reload,
}

impl StopSignals {
    /// TERM and INT; HUP means that files are to be read again.
    ///
    /// # Errors
    /// `Internal` where the system does not let us listen.
    pub(super) fn listen() -> Result<Self> {
        let reload = signal(SignalKind::hangup()).map_err(Error::internal)?;
        let stop = Self::to(&[SignalKind::terminate(), SignalKind::interrupt()])?;
        Ok(Self {
            reload: Some(reload),
            ..stop
        })
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
            .map(|stop| Self { stop, reload: None })
            .map_err(Error::internal)
    }

    /// The next one that means the end. Cancel safe.
    pub(super) async fn next(&mut self) {
        while !matches!(self.event().await, Event::Stop) {}
    }

    /// The next one. Cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        let stop = self.stop.iter_mut().map(|signal| Box::pin(signal.recv()));
        let reload = async {
            match &mut self.reload {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = select_all(stop) => Event::Stop,
            _ = reload => Event::Reload,
        }
    }
}
