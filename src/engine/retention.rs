//! Removes what goes by itself, and gives its room back to the disk.

use super::Shared;
use crate::domain::{Result, Retention};
use crate::store::Expired;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is kept, and how often it is looked whether there is more.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// What is kept.
    pub rules: Retention,
    /// From one look to the next.
    pub interval: Duration,
}

/// Wakes by its period, until the stop. Also where everything is kept, what somebody removes gives
/// its room back.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        if let Err(error) = sweep(&shared).await {
            tracing::warn!(%error, "cannot remove what is not to be kept");
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = sleep(shared.keeping.interval) => {}
        }
    }
}

async fn sweep(shared: &Shared) -> Result<()> {
    let store = &shared.store;
    store.take_ballast().await;
    let rules = &shared.keeping.rules;
    let mut worked = false;
    let overdue = match rules.keeps_everything() {
        true => Vec::new(),
        false => store.overdue_tasks(rules, shared.clock.now()).await?,
    };
    for mut group in overdue {
        loop {
            let began = Instant::now();
            let (rest, expired) = store.expire_tasks(group, shared.clock.now()).await?;
            group = rest;
            let Some(expired) = expired else { break };
            worked = true;
            tell(shared, &expired);
            if !rested(shared, began).await {
                return Ok(());
            }
            // At once: a full disk has room for little else.
            give_back(shared).await?;
        }
    }
    worked |= give_back(shared).await?;
    if worked {
        store.empty_log().await?;
    }
    Ok(())
}

/// Gives all free pages back. Whether there was any.
async fn give_back(shared: &Shared) -> Result<bool> {
    let mut worked = false;
    loop {
        let began = Instant::now();
        if shared.store.give_back().await? == 0 || !rested(shared, began).await {
            return Ok(worked);
        }
        worked = true;
    }
}

/// Leaves the writer to others for twice as long as it was taken. False at the stop.
async fn rested(shared: &Shared, began: Instant) -> bool {
    tokio::select! {
        biased;
        () = shared.stopping.cancelled() => false,
        () = sleep(began.elapsed() * 2) => true,
    }
}

fn tell(shared: &Shared, expired: &Expired) {
    let (tasks, bytes) = (expired.tasks.len(), expired.bytes);
    let limit = expired.limit.as_str();
    metrics::counter!("wsexec_tasks_expired_total", "limit" => limit).increment(tasks as u64);
    metrics::counter!("wsexec_bytes_expired_total", "limit" => limit).increment(bytes);
    tracing::info!(tasks, bytes, limit, "tasks were not to be kept any longer");
    for task in &expired.tasks {
        shared.feed.changed(*task);
    }
}
