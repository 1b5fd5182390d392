//! Runs that go on without this server: each is started once, followed, and taken up again for as
//! long as it takes, whatever becomes of the connection or of the server.

mod follow;
mod judgement;
mod output;
mod reach;
mod settle;

use super::cancel::Cause;
use super::command::{command, command_without_stdin};
use super::identities::Use;
use super::output::{Output, TAIL};
use super::run::until;
use super::slots::Place;
use super::{AGAIN, Shared, target};
use crate::domain::{self, Ending, Instance, Outcome, RemoteProcess, Task};
use crate::failpoint;
use crate::ssh::remote::detached::{Bounds, Detached, Started};
use crate::ssh::{Command, Failure, Lease};
use follow::LEFT_BEHIND;
use futures_util::FutureExt;
use judgement::Stopped;
use settle::Over;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long until a machine is tried again, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Does something over a connection, or over another one in its place where the machine takes no
/// further command on it.
macro_rules! over {
    ($run:ident, $session:ident.$act:ident($($argument:expr),*)) => {
        match $session.$act($($argument),*).await {
            Err(failure) if failure.channel_refused => {
                *$session = $run.connect().await?;
                $session.$act($($argument),*).await
            }
            done => done,
        }
    };
}
use over;

/// A task that is CURRENT, and its place among those that run.
pub struct Claimed {
    pub task: Task,
    pub instance: Instance,
    pub cancel: CancellationToken,
    pub place: Place,
}

/// Runs a claimed task to its end, and records it. Where the server stops before that, the task
/// stays CURRENT and its script goes on: the next start takes it up, with `may_run`, as a server
/// before may have started it.
pub async fn run(shared: Arc<Shared>, claimed: Claimed, may_run: bool) {
    let Claimed {
        task,
        instance,
        cancel,
        place,
    } = claimed;
    let id = task.id;
    let mut run = Run::new(&shared, task, instance, cancel, may_run);
    run.place = Some(place);
    let over = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => None,
        over = AssertUnwindSafe(run.whole()).catch_unwind() => Some(over.unwrap_or_else(|_| {
            Over::unbegun(Ending::aborted(
                Outcome::Lost,
                "The server failed while it followed this run; its log says more. The script may still run on the \
                 instance.",
            ))
        })),
    };
    match over {
        None => tracing::info!(
            task = id.0,
            "a detached run is left to itself until the next start"
        ),
        Some(mut over) => {
            over.ending = shared.masked(over.ending);
            run.settle(over).await;
        }
    }
    shared.forget(id);
    drop(run);
    shared.feed.changed(id);
}

/// Takes up the runs that a server before this one has left to themselves.
pub fn take_up(shared: &Arc<Shared>, running: Vec<(Task, Instance)>) {
    for (task, instance) in running {
        let claimed = Claimed {
            cancel: shared.cancels.register(task.id),
            place: shared.slots.take(instance.id),
            task,
            instance,
        };
        shared.work.spawn(run(Arc::clone(shared), claimed, true));
    }
}

struct Run<'a> {
    shared: &'a Shared,
    task: Task,
    instance: Instance,
    cancel: CancellationToken,
    deadline: Option<Instant>,
    /// Given to others while the machine is out of reach.
    place: Option<Place>,
    output: Output,
    begun: Instant,
    /// Whether the script may have been started: from then on nothing but the machine's own word
    /// ends the task.
    may_run: bool,
    /// What the machine keeps of each stream.
    bounds: Bounds,
    /// When the script last wrote, as far as that is seen.
    heard: watch::Sender<Instant>,
    /// Whether the machine answered since the last pause.
    answered: bool,
    out_of_reach_since: Option<i64>,
    /// Whether the machine has let the server in since the last pause; and how often it did, since
    /// the run is to end, and nothing came of it.
    let_in: bool,
    in_vain: u32,
    /// Why it is to end before its script does, and what became of that.
    stop: Option<Cause>,
    stopped: Option<Stopped>,
    /// Whether that was so before this server took it up.
    was_to_end: bool,
}

impl<'a> Run<'a> {
    fn new(
        shared: &'a Shared,
        task: Task,
        instance: Instance,
        cancel: CancellationToken,
        may_run: bool,
    ) -> Self {
        let now = shared.clock.now();
        let begun = Instant::now();
        // Counted from the start, also across restarts.
        let left = task.timeout.map(|timeout| {
            let gone = now - task.start.unwrap_or(now);
            i64::from(timeout).saturating_sub(gone).max(0)
        });
        let deadline = left.map(|left| begun + Duration::from_secs(left.unsigned_abs()));
        let stop = match (may_run, task.cancel_requested, left) {
            (true, true, _) => Some(Cause::Cancelled),
            (true, false, Some(0)) => Some(Cause::TimedOut),
            _ => None,
        };
        let limit = shared.config.output_limit;
        Self {
            // The machine keeps the bounds; what is stored of a run that goes on is all head.
            output: Output::resumed(limit, [task.stdout.bytes, task.stderr.bytes], task.masked),
            shared,
            task,
            instance,
            cancel,
            deadline,
            place: None,
            begun,
            may_run,
            bounds: Bounds::new(limit, TAIL.min(limit / 2)),
            heard: watch::Sender::new(begun),
            answered: false,
            out_of_reach_since: None,
            let_in: false,
            in_vain: 0,
            stop,
            stopped: None,
            was_to_end: stop.is_some(),
        }
    }

    async fn whole(&mut self) -> Over {
        let mut pause = PAUSE.0;
        loop {
            let failure = match self.attempt().await {
                Ok(over) => return over,
                Err(failure) => failure,
            };
            if !self.may_run {
                return Over::unbegun(Ending::aborted(failure.outcome, failure.reason));
            }
            if std::mem::take(&mut self.answered) {
                pause = PAUSE.0;
            }
            if let Some(over) = self.given_up(&failure) {
                return over;
            }
            if let Some(over) = self.written_off(&failure).await {
                return over;
            }
            self.out_of_reach(&failure).await;
            self.place = None;
            sleep(domain::jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Goes the whole way over one connection, from wherever the run is.
    async fn attempt(&mut self) -> Result<Over, Failure> {
        let shared = self.shared;
        let known = self.task.process.is_some();
        let mut command = self.command(known).await?;
        let mut session = tokio::select! {
            biased;
            cause = self.told_to_end(), if !self.may_run => {
                let (outcome, what) = self.describe(cause);
                let reason = format!("{what} The script had not begun.");
                return Ok(Over::unbegun(Ending::aborted(outcome, reason)));
            }
            connected = self.connect() => connected?,
        };
        let slots = &shared.slots;
        self.place
            .get_or_insert_with(|| slots.take(self.instance.id));
        self.let_in = true;
        let id = self
            .task
            .run
            .as_ref()
            .map_or("none", |run| &run.0)
            .to_owned();
        let wanted = shared.store.detached_runs().await.ok();
        let run = Detached {
            store: shared.store.id(),
            run: &id,
            command: &command,
            wanted: wanted.as_deref(),
        };
        let bounds = self.bounds;
        let link = &mut session;
        let started = over!(self, link.start_detached(run, known, bounds));
        self.may_run |= started
            .as_ref()
            .map_or_else(|failure| failure.outcome == Outcome::Lost, |_| true);
        let started = started?;
        // It may be long, and is there now.
        command.stdin = None;
        let run = Detached {
            store: shared.store.id(),
            run: &id,
            command: &command,
            wanted: None,
        };
        let process = match started {
            Started::As(process) => process,
            Started::Refused(failure) => {
                let ending = Ending::aborted(failure.outcome, failure.reason);
                return Ok(Over {
                    session: Some(session),
                    ..Over::unbegun(ending)
                });
            }
            Started::Gone => return Ok(Over::unbegun(gone())),
            Started::Unknown => {
                return Ok(Over::unbegun(Ending::aborted(
                    Outcome::Lost,
                    "The instance began to start the script and never said that it runs. It is not started again by itself.",
                )));
            }
        };
        failpoint::pass("detached.started");
        self.keep(process).await;
        failpoint::pass("detached.located");
        self.back_in_reach().await;
        loop {
            self.follow(&mut session, run).await?;
            let from = self.from();
            let link = &mut session;
            let Some(collection) = over!(self, link.collect_detached(run, from))? else {
                return Ok(Over::unbegun(gone()));
            };
            let state = collection.state().clone();
            let late = |(_, at)| state.now.saturating_sub(at) > LEFT_BEHIND.as_secs().cast_signed();
            if state.over
                || !state.watched
                || self.stopped.is_some()
                || state.exit.is_some_and(late)
            {
                let (ending, end) = self.judge(&state);
                let last = self.collect(collection).await?;
                failpoint::pass("detached.collected");
                // What is not over may still be of use to whoever looks for it there.
                let session = state.over.then_some(session);
                return Ok(Over {
                    ending,
                    end,
                    last,
                    session,
                });
            }
            sleep(PAUSE.0).await;
        }
    }

    /// The script and how it is run; what it reads only where it may have to be started.
    async fn command(&self, known: bool) -> Result<Command, Failure> {
        match known {
            true => command_without_stdin(self.shared, &self.task).await,
            false => command(self.shared, &self.task).await,
        }
    }

    async fn connect(&self) -> Result<Lease, Failure> {
        let used = Use::Run(self.task.id);
        target::connect(self.shared, self.instance.id, &self.task.user, used).await
    }

    /// Keeps which process it is: from then on it is never started again.
    async fn keep(&mut self, process: RemoteProcess) {
        if self.task.process.as_ref() == Some(&process) {
            return;
        }
        let id = self.task.id;
        while let Err(error) = self.shared.store.record_process(id, process.clone()).await {
            tracing::warn!(task = id.0, %error, "cannot record the process of a task; trying again");
            sleep(AGAIN).await;
        }
        self.task.process = Some(process);
    }

    /// Waits until the run is to end before its script does.
    fn told_to_end(&self) -> impl Future<Output = Cause> + use<> {
        let (cancel, deadline) = (self.cancel.clone(), self.deadline);
        async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Cause::Cancelled,
                () = until(deadline) => Cause::TimedOut,
            }
        }
    }

    fn describe(&self, cause: Cause) -> (Outcome, String) {
        cause.describe(&self.task, &self.shared.config)
    }
}

fn gone() -> Ending {
    Ending::aborted(
        Outcome::Lost,
        "Its directory is gone from the instance (wsexec in XDG_STATE_HOME, or in ~/.local/state): somebody has \
         removed it, or another server on a copy of this store has recorded its end. It is not started again by itself.",
    )
}
