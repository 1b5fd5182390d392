use super::{Shared, detached, run};
use crate::domain::Mode;
use crate::failpoint;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often the store is asked for cancels that were not heard.
const PERIOD: Duration = Duration::from_secs(1);
/// Every so many periods the store is asked which instances have work, whatever was heard.
const RECONCILE: u32 = 10;
/// Instances that one claim looks at, so that it holds the writer for a short time only.
const INSTANCES: usize = 64;

/// The one loop that claims: woken by a signal and by a period, until the stop.
pub async fn run(shared: Arc<Shared>) {
    let _over = shared.over.clone().drop_guard();
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = shared.slots.changed() => {}
            _ = period.tick() => {
                reconcile(&shared, ticks % RECONCILE == 0).await;
                ticks += 1;
            }
        }
        while claim(&shared).await {}
    }
}

async fn reconcile(shared: &Shared, work_too: bool) {
    match shared.store.tasks_to_cancel().await {
        Ok(tasks) => tasks
            .into_iter()
            .for_each(|task| shared.cancels.cancel(task)),
        Err(error) => tracing::warn!(%error, "cannot look for cancels"),
    }
    match shared
        .store
        .instances_with_due_retries(shared.clock.now())
        .await
    {
        Ok(instances) => instances
            .into_iter()
            .for_each(|instance| shared.slots.mark(instance)),
        Err(error) => tracing::warn!(%error, "cannot look for tasks to try again"),
    }
    if !work_too {
        return;
    }
    match shared.store.instances_with_waiting_tasks().await {
        Ok(instances) => instances
            .into_iter()
            .for_each(|instance| shared.slots.mark(instance)),
        Err(error) => tracing::warn!(%error, "cannot look for waiting tasks"),
    }
}

/// Claims once, and starts what was claimed. True where there may be more to claim now.
async fn claim(shared: &Arc<Shared>) -> bool {
    if shared.stopping.is_cancelled() {
        return false;
    }
    let (instances, free) = shared.slots.next(INSTANCES);
    if instances.is_empty() {
        return false;
    }
    let asked: Vec<_> = instances.iter().map(|(instance, _)| *instance).collect();
    match shared
        .store
        .claim_tasks(instances, free, shared.clock.now())
        .await
    {
        Ok(claims) => {
            let now = shared.clock.now();
            for (task, instance) in claims.claimed {
                failpoint::pass("task.claimed");
                let waited = now.saturating_sub(task.created) as f64;
                metrics::histogram!("wsexec_task_waiting_seconds").record(waited);
                let place = shared.slots.take(instance.id);
                let cancel = shared.cancels.register(task.id);
                let shared = Arc::clone(shared);
                match task.mode {
                    Mode::Attached => shared.work.spawn(run::run(
                        Arc::clone(&shared),
                        task,
                        instance,
                        cancel,
                        place,
                    )),
                    Mode::Detached => {
                        let claimed = detached::Claimed {
                            task,
                            instance,
                            cancel,
                            place,
                        };
                        shared
                            .work
                            .spawn(detached::run(Arc::clone(&shared), claimed, false))
                    }
                };
            }
            for task in claims.ended {
                shared.feed.changed(task);
            }
            claims
                .more
                .into_iter()
                .for_each(|instance| shared.slots.mark(instance));
            true
        }
        Err(error) => {
            // The store comes back by itself or not at all; the period is the next try.
            tracing::warn!(%error, "cannot claim tasks");
            tokio::time::sleep(PERIOD).await;
            asked
                .into_iter()
                .for_each(|instance| shared.slots.mark(instance));
            false
        }
    }
}
