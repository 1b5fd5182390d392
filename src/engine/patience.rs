//! A store that does not answer now is asked again: what was accepted is not given up because of a
//! disk of ours, for as long as nothing of it was sent.

use super::{AGAIN, Shared};
use crate::domain::{Kind, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the store is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the store says, once it does; what it said last where the patience is over, or the server
/// stops.
///
/// # Errors
/// Those of the question; `Unavailable` after a minute of it.
pub async fn patiently<T, F>(shared: &Shared, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(error)
                if error.kind() == Kind::Unavailable
                    && Instant::now() < deadline
                    && !shared.stopping.is_cancelled() =>
            {
                tracing::debug!(%error, "the store is asked again");
                sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}
