use crate::cli::Failure;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Ctrl-C and TERM, counted: the first asks for the end of the script, the second for ours.
pub(super) struct Interrupt {
    first: CancellationToken,
    second: CancellationToken,
    _listener: AbortOnDropHandle<()>,
}

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind).map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))
        };
        let mut interrupt = open(SignalKind::interrupt())?;
        let mut terminate = open(SignalKind::terminate())?;
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        let told = [first.clone(), second.clone()];
        let listener = tokio::spawn(async move {
            for token in told {
                tokio::select! {
                    _ = interrupt.recv() => token.cancel(),
                    _ = terminate.recv() => token.cancel(),
                }
            }
        });
        Ok(Self {
            first,
            second,
            _listener: AbortOnDropHandle::new(listener),
        })
    }

    pub(super) async fn first(&self) {
        self.first.cancelled().await;
    }

    pub(super) async fn second(&self) {
        self.second.cancelled().await;
    }
}
