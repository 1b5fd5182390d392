//! Claims tasks, runs them, records them, and tells whoever watches.
//!
//! The store is the truth: a task is CURRENT there before anything is sent to a machine, and what
//! is held here (who runs, which instances may have work) can be derived from it again.

mod approvals;
mod cancel;
mod check;
mod command;
mod detached;
mod end;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod health;
mod identities;
mod output;
mod patience;
mod recover;
mod redact;
mod remains;
mod retention;
mod retry;
mod run;
mod scheduler;
mod slots;
mod target;

pub use crate::ssh::{PublicHalf, generate_key, public_half};
pub use feed::Watch;
pub use retention::Keeping;

use crate::config;
use crate::domain::{
    Check, CheckRequest, Clock, Ending, Health, IdentityId, Instance, InstanceId, Mode, Result,
    TaskId,
};
use crate::ssh::Connector;
use crate::store::Store;
use crate::vault::Vault;
use cancel::Cancels;
use feed::Feed;
use health::News;
use redact::Known;
use remains::Mutes;
use slots::Slots;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a machine may take to end what runs on it, beyond the grace time, and to say whether
/// anything is left.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// How long until what the store did not take is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the record of an end may take when the server stops.
const RECORD: Duration = Duration::from_secs(10);

/// The engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    vault: Vault,
    connector: Connector,
    clock: Arc<dyn Clock>,
    config: config::Engine,
    keeping: Keeping,
    slots: Slots,
    cancels: Cancels,
    mutes: Mutes,
    feed: Feed,
    health: News,
    checks: check::Places,
    /// The secrets that are masked.
    known: RwLock<Arc<Known>>,
    /// Which uses of identities the runs that go on have noted.
    used: Mutex<HashSet<(TaskId, IdentityId)>>,
    /// A task may wait for a second person since.
    asked: Notify,
    /// No new work, and whoever waits is answered.
    stopping: CancellationToken,
    /// What runs is to end now.
    interrupt: CancellationToken,
    /// The scheduler and every run.
    work: TaskTracker,
    /// Cancelled when the scheduler has ended, however it did.
    over: CancellationToken,
}

impl Shared {
    fn known(&self) -> Arc<Known> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    /// An end whose reason holds no secret.
    fn masked(&self, ending: Ending) -> Ending {
        match ending.reason() {
            Some(reason) => {
                let reason = self.known().mask(reason);
                ending.with_reason(reason)
            }
            None => ending,
        }
    }

    fn used(&self) -> MutexGuard<'_, HashSet<(TaskId, IdentityId)>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is over.
    fn forget(&self, task: TaskId) {
        self.cancels.forget(task);
        self.used().retain(|(of, _)| *of != task);
    }
}

/// What a waiting task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its instance runs as many as it may: so many of so many.
    Instance(usize, usize),
    /// The server runs as many as it may.
    Server(usize),
    /// Nothing but its turn.
    Turn,
    /// The server to be started again.
    Restart,
}

impl Engine {
    /// Takes what the last process left in CURRENT, to ask for it in the background, then starts to
    /// take what waits.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn start(
        (store, vault): (Store, Vault),
        connector: Connector,
        (config, keeping): (config::Engine, Keeping),
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            store,
            vault,
            connector,
            clock,
            slots: Slots::new(config.max_running, config.max_per_instance),
            config,
            keeping,
            cancels: Cancels::default(),
            mutes: Mutes::default(),
            feed: Feed::default(),
            health: News::default(),
            checks: check::Places::default(),
            known: RwLock::default(),
            used: Mutex::default(),
            asked: Notify::new(),
            stopping: CancellationToken::new(),
            interrupt: CancellationToken::new(),
            work: TaskTracker::new(),
            over: CancellationToken::new(),
        });
        redact::refresh(&shared).await;
        let (detached, attached) = shared
            .store
            .running_tasks()
            .await?
            .into_iter()
            .partition(|(task, _)| task.mode == Mode::Detached);
        detached::take_up(&shared, detached);
        recover::begin(&shared, attached);
        shared.work.spawn(scheduler::run(Arc::clone(&shared)));
        shared.work.spawn(health::keep(Arc::clone(&shared)));
        shared.work.spawn(redact::keep(Arc::clone(&shared)));
        shared.work.spawn(approvals::expire(Arc::clone(&shared)));
        shared.work.spawn(retention::keep(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// An instance may have work: a task was posted to it, or it was made ACTIVE.
    pub fn wake(&self, instance: InstanceId) {
        self.shared.slots.mark(instance);
    }

    /// A task may wait for a second person, and not for ever.
    pub fn approvals_changed(&self) {
        self.shared.asked.notify_one();
    }

    /// A task's cancel is on record: whoever runs it is told.
    pub fn cancel(&self, task: TaskId) {
        self.shared.cancels.cancel(task);
    }

    /// Tells of each change of a task from now on.
    pub fn watch(&self, task: TaskId) -> Watch {
        self.shared.feed.watch(task, self.shared.stopping.clone())
    }

    /// Tells whoever watches a task that it has changed.
    pub fn changed(&self, task: TaskId) {
        self.shared.feed.changed(task);
    }

    /// What a waiting task of an instance waits for.
    pub fn waits_for(&self, instance: InstanceId) -> WaitsFor {
        if self.is_stopping() {
            return WaitsFor::Restart;
        }
        self.shared.slots.waits_for(instance)
    }

    /// Takes each step that a task on the instance would take, and tells what was found.
    ///
    /// # Errors
    /// `TooMany` where too many checks run already; `Unavailable` where the server stops.
    pub async fn check(&self, instance: InstanceId, request: &CheckRequest) -> Result<Check> {
        check::check(&self.shared, instance, request).await
    }

    /// An identity was made or changed: its secret is masked from now on.
    pub async fn secrets_changed(&self) {
        redact::refresh(&self.shared).await;
    }

    /// Something about the trust in an instance has changed: the connections that wait for their
    /// next use there, or lead through it, are of no use.
    pub fn forget_connections(&self, instance: &Instance) {
        self.shared.connector.forget(&instance.ip, instance.port);
    }

    /// What was heard of an instance and is not in the store yet.
    pub fn health(&self, instance: InstanceId) -> Option<Health> {
        self.shared.health.of(instance)
    }

    /// The instance is another machine now: what was heard of it is of no use.
    pub fn forget_health(&self, instance: InstanceId) {
        self.shared.health.forget(instance);
    }

    /// Whether no new work is taken any more.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Whether it works: false once its scheduler has ended.
    pub fn is_alive(&self) -> bool {
        !self.shared.over.is_cancelled()
    }

    /// Takes no new work from now on, and answers whoever waits.
    pub fn begin_stop(&self) {
        self.shared.stopping.cancel();
        self.shared.work.close();
    }

    /// Stops: what runs gets the configured while to end by itself, then it is cancelled as
    /// `interrupted`. Returns when all of it is on record, or a bounded time after.
    pub async fn stop(&self) {
        self.begin_stop();
        let grace = Duration::from_secs(self.shared.config.stop_grace);
        match tokio::time::timeout(grace, self.shared.work.wait()).await {
            Ok(()) => health::store(&self.shared).await,
            Err(_) => self.interrupt().await,
        }
    }

    /// Cancels what runs as `interrupted`, now.
    pub async fn interrupt(&self) {
        self.begin_stop();
        self.shared.interrupt.cancel();
        if tokio::time::timeout(self.last_words(), self.shared.work.wait())
            .await
            .is_err()
        {
            tracing::error!("runs did not end in time; the next start finds them as lost");
        }
        health::store(&self.shared).await;
    }

    /// What [`Engine::stop`] takes at most.
    pub fn stop_limit(&self) -> Duration {
        Duration::from_secs(self.shared.config.stop_grace) + self.last_words() + RECORD
    }

    /// How long runs may take to end once they are interrupted.
    fn last_words(&self) -> Duration {
        // A machine whose connection is dead is asked again over another one, and then signalled.
        let grace = Duration::from_secs(self.shared.config.cancel_grace);
        (grace + LAST_WORDS) * 2 + end::HURRY + grace + RECORD
    }
}
