//! Ends what waits for a second person for too long.

use super::{AGAIN, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The longest sleep: the clock may have been set meanwhile.
const PERIOD: Duration = Duration::from_secs(60);

/// Wakes when the next time is over, and when a task was posted, until the stop.
pub async fn expire(shared: Arc<Shared>) {
    loop {
        let rest = sweep(&shared).await;
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = shared.asked.notified() => {}
            () = sleep(rest) => {}
        }
    }
}

/// Ends what is due, and tells how long there is nothing to do.
async fn sweep(shared: &Shared) -> Duration {
    let now = shared.clock.now();
    match shared.store.expire_approvals(now).await {
        Ok((ended, next)) => {
            ended.into_iter().for_each(|task| shared.feed.changed(task));
            let seconds = next.map_or(u64::MAX, |at| u64::try_from(at - now).unwrap_or(0));
            Duration::from_secs(seconds).min(PERIOD)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot end what nobody has approved in time");
            AGAIN
        }
    }
}
