//! What a service manager is told that listens at `NOTIFY_SOCKET`: sd_notify(3). Without one,
//! nothing is said to nobody.

use sd_notify::NotifyState;
use std::time::Duration;

/// Connections are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It stops, and takes no longer than `limit` for it, however short the manager's own patience is.
pub(super) fn stopping(limit: Duration) {
    let limit = format!("EXTEND_TIMEOUT_USEC={}", limit.as_micros());
    tell(&[NotifyState::Stopping, NotifyState::Custom(&limit)]);
}

/// A manager that cannot be told waits for its own deadline, and the log says why.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager how it stands");
    }
}
