//! What the last run of the server left in CURRENT: each machine is asked what became of it.

use super::end::what_became;
use super::remains::{Remains, after_the_end};
use super::slots::Place;
use super::{AGAIN, Shared};
use crate::domain::{Ending, Instance, InstanceId, Outcome, Task};
use crate::ssh::Left;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// Logins that are asked at once. The tasks of one login are asked for one after the other.
const LOGINS: usize = 64;
/// How long machines may be connected to, all together, and how long the answers may take on top.
const ALL: Duration = Duration::from_secs(35);
const ANSWERS: Duration = Duration::from_secs(20);
/// The longest grace between TERM and KILL that fits in there.
const GRACE: Duration = Duration::from_secs(10);

/// What each of these reasons begins with.
const STOPPED: &str =
    "The server stopped without recording the end of this run; it is not started again by itself.";
const NEVER_LOCATED: &str = "It had not been learnt where on the instance the script ran, if it began: it may have \
    ended, or may still run there.";

const LATE: &str = "The machine did not say in time what became of it.";

/// A task without anybody who runs it. It counts as running meanwhile, and can be cancelled.
struct Orphan {
    task: Task,
    cancel: CancellationToken,
    _place: Place,
}

/// Takes the attached tasks that are CURRENT in the store, which at a start nothing of this process
/// runs, and asks for them in the background.
pub fn begin(shared: &Arc<Shared>, attached: Vec<(Task, Instance)>) {
    let mut logins: HashMap<(InstanceId, String), Vec<Orphan>> = HashMap::new();
    let count = attached.len();
    for (task, Instance { id, .. }) in attached {
        logins
            .entry((id, task.user.clone()))
            .or_default()
            .push(Orphan {
                cancel: shared.cancels.register(task.id),
                _place: shared.slots.take(id),
                task,
            });
    }
    if count > 0 {
        tracing::warn!(
            tasks = count,
            "the last run of the server left tasks without an end; their machines are asked"
        );
    }
    let turns = Arc::new(Semaphore::new(LOGINS));
    let deadline = Instant::now() + ALL;
    for orphans in logins.into_values() {
        let (shared, turns) = (Arc::clone(shared), Arc::clone(&turns));
        shared.work.clone().spawn(async move {
            tokio::select! {
                biased;
                // They stay CURRENT for the next start.
                () = shared.stopping.cancelled() => {}
                () = ask(&shared, orphans, &turns, deadline) => {}
            }
        });
    }
}

async fn ask(shared: &Shared, orphans: Vec<Orphan>, turns: &Semaphore, deadline: Instant) {
    // What was never located needs no turn.
    let (located, others): (Vec<_>, Vec<_>) = orphans
        .into_iter()
        .partition(|orphan| orphan.task.process.is_some());
    for orphan in others {
        let reason = format!("{STOPPED} {NEVER_LOCATED}");
        record(shared, orphan, Ending::aborted(Outcome::Lost, reason)).await;
    }
    if located.is_empty() {
        return;
    }
    let _turn = turns.acquire().await;
    for orphan in located {
        let ending = timeout_at(deadline + ANSWERS, ending(shared, &orphan, deadline)).await;
        let ending = ending.unwrap_or_else(|_| {
            let reason = format!("{STOPPED} {LATE}");
            Ending::aborted(Outcome::Lost, reason)
        });
        record(shared, orphan, ending).await;
    }
}

/// What the machine says, within what is left of the time for all.
async fn ending(shared: &Shared, orphan: &Orphan, deadline: Instant) -> Ending {
    let (task, config) = (&orphan.task, &shared.config);
    let process = task.process.clone();
    let remains = Remains::of_earlier(shared, task, process);
    let grace = Duration::from_secs(config.cancel_grace).min(GRACE);
    let patience = Duration::from_secs(config.reconnect_timeout)
        .min(deadline.saturating_duration_since(Instant::now()));
    let look = async {
        let what = what_became(&remains, config.orphans, grace, patience).await;
        Ending::aborted(Outcome::Lost, format!("{STOPPED} {what}"))
    };
    if task.cancel_requested {
        orphan.cancel.cancel();
    }
    tokio::select! {
        biased;
        () = orphan.cancel.cancelled() => {}
        ending = look => return ending,
    }
    let found = remains.end(None, grace, patience).await;
    let (outcome, what) = match found.left {
        Left::Nothing => (Outcome::Cancelled, "Cancelled on request.".into()),
        _ => (
            Outcome::Lost,
            format!("{STOPPED} It was cancelled on request."),
        ),
    };
    Ending::aborted(outcome, after_the_end(&what, &found))
}

/// Records the end, however long the store takes to accept it.
async fn record(shared: &Shared, orphan: Orphan, ending: Ending) {
    let id = orphan.task.id;
    while let Err(error) = shared
        .store
        .end_task(id, ending.clone(), shared.clock.now())
        .await
    {
        tracing::error!(task = id.0, %error, "cannot record the end of a task; trying again");
        sleep(AGAIN).await;
    }
    tracing::info!(
        task = id.0,
        instance = orphan.task.instance.0,
        outcome = ending.outcome().as_str(),
        "task of the last run ended"
    );
    shared.forget(id);
    drop(orphan);
    shared.feed.changed(id);
}
