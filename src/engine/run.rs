use super::cancel::Cause;
use super::command::command;
use super::end::locate;
use super::identities::Use;
use super::output::Output;
use super::retry::retry;
use super::slots::Place;
use super::{AGAIN, Shared, target};
use crate::domain::{Ending, Instance, Outcome, RemoteProcess, Stream, Task};
use crate::failpoint;
use crate::ssh::{Event, Failure, Lease, Running};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What the record says where the output was not waited for to its end.
const LEFT_BEHIND: &str = "The script has exited. Something that it left behind still held its output open; what \
    that writes from now on is not kept.";

/// How long the end of a script waits for the answer to where it runs.
const ANSWER: Duration = Duration::from_millis(300);

/// Runs one claimed task to its end, and records it. Its place is free when it is on record.
pub async fn run(
    shared: Arc<Shared>,
    task: Task,
    instance: Instance,
    cancel: CancellationToken,
    place: Place,
) {
    let begun = Instant::now();
    let id = task.id;
    let mut run = Run {
        output: Output::new(shared.config.output_limit),
        deadline: task
            .timeout
            .map(|seconds| begun + Duration::from_secs(u64::from(seconds))),
        heard: watch::Sender::new(begun),
        begun,
        process: None,
        shared: &shared,
        task,
        instance,
        cancel,
    };
    // Whatever fails here, the task ends: nothing stays CURRENT while the server runs.
    let ending = AssertUnwindSafe(run.whole()).catch_unwind().await.unwrap_or_else(|_| {
        Ending::aborted(
            Outcome::Lost,
            "The server failed while it ran this; its log says more. The script may still run on the instance.",
        )
    });
    let ending = shared.masked(ending);
    if !retry(&shared, &run.task, &ending).await {
        run.record(ending, begun).await;
    }
    shared.forget(id);
    drop(place);
    shared.feed.changed(id);
}

pub struct Run<'a> {
    pub(super) shared: &'a Shared,
    pub(super) task: Task,
    instance: Instance,
    cancel: CancellationToken,
    deadline: Option<Instant>,
    pub(super) output: Output,
    /// When the script last wrote.
    heard: watch::Sender<Instant>,
    /// When it was started, or a little before.
    pub(super) begun: Instant,
    /// What leads its session, once that is known.
    pub(super) process: Option<RemoteProcess>,
}

/// What came first.
pub enum Until<T> {
    /// The script's end.
    Ended(Ending),
    /// What was waited for beside it.
    Stopped(T),
}

impl Run<'_> {
    async fn whole(&mut self) -> Ending {
        let aborted = |failure: Failure| Ending::aborted(failure.outcome, failure.reason);
        let command = match command(self.shared, &self.task).await {
            Ok(command) => command,
            Err(failure) => return aborted(failure),
        };
        let mut reuse = true;
        let (session, started) = loop {
            let (shared, id, user) = (self.shared, self.instance.id, &self.task.user);
            let task = self.task.id;
            let connected = async {
                match reuse {
                    true => target::lease(shared, id, user, Use::Run(task)).await,
                    false => target::connect(shared, id, user, Use::Run(task)).await,
                }
            };
            let connected = tokio::select! {
                biased;
                cause = self.told_to_end() => return self.ended_before_it_began(cause),
                connected = connected => connected,
            };
            let mut session = match connected {
                Ok(session) => session,
                Err(failure) => return aborted(failure),
            };
            self.begun = Instant::now();
            let before = session.commands();
            // From here on the script may run, whatever the answer says.
            let started = tokio::select! {
                biased;
                cause = self.told_to_end() => Err(cause),
                started = session.start(&command) => Ok(started),
            };
            // A connection that has waited may be dead, or have no place left: nothing was sent.
            let unsent = matches!(started, Ok(Err(_))) && session.commands() == before;
            if unsent && session.took().is_none() {
                session.retire();
                reuse = false;
                continue;
            }
            break (session, started);
        };
        // It may hold much to read, which is on its way now.
        drop(command);
        match started {
            Ok(Ok(running)) => {
                failpoint::pass("task.started");
                self.follow(session, running).await
            }
            Ok(Err(failure)) if failure.outcome == Outcome::Lost => {
                self.lost(session, &failure.reason).await
            }
            Ok(Err(failure)) => aborted(failure),
            Err(cause) => self.end(session, None, cause).await,
        }
    }

    /// Takes what the script writes until it ends, or is told to and has.
    async fn follow(&mut self, mut session: Lease, mut running: Running) -> Ending {
        let (shared, id) = (self.shared, self.task.id);
        let login = (self.task.instance, self.task.user.clone());
        let mut process = running.process().cloned();
        let asking = AtomicBool::new(false);
        let told = self.told_to_end();
        self.heard.send_replace(Instant::now());
        let silent = silent(self.heard.subscribe(), self.shared.config.silence_timeout);
        let stop = async {
            tokio::select! {
                cause = told => cause,
                () = silent => Cause::Silent,
                never = locate(shared, (id, &login), &mut session, &mut process, &asking) => match never {},
            }
        };
        let until = {
            tokio::pin!(stop);
            let until = self.take_until(&mut running, &mut stop).await;
            if matches!(until, Until::Ended(_)) {
                // A connection with a question on its way is no good to the next script.
                let answered = answered(&asking, stop);
                let _ = tokio::time::timeout(ANSWER, answered).await;
            }
            until
        };
        self.process = process;
        match until {
            Until::Ended(ending) if ending.outcome() == Outcome::Lost => {
                let how = ending.reason().unwrap_or_default();
                self.lost(session, how).await
            }
            Until::Ended(ending) if running.was_cut() => ending.with_reason(LEFT_BEHIND),
            Until::Ended(ending) => {
                drop(running);
                if !asking.into_inner() {
                    session.release();
                }
                ending
            }
            Until::Stopped(cause) => {
                // Where the script has ended by itself and only something that it left behind
                // goes on, the script's own end stands.
                let own = running.ending().and_then(|event| self.take(event));
                let ended = self.end(session, Some(running), cause).await;
                match (own, ended.reason()) {
                    (Some(own), Some(reason)) => {
                        own.with_reason(format!("The script had exited by itself. {reason}"))
                    }
                    (Some(own), None) => own,
                    (None, _) => ended,
                }
            }
        }
    }

    /// Takes what the script writes until it ends, or something else comes first.
    pub(super) async fn take_until<T>(
        &mut self,
        running: &mut Running,
        stop: impl Future<Output = T>,
    ) -> Until<T> {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                stopped = &mut stop => return Until::Stopped(stopped),
                () = until(self.output.due()) => self.write().await,
                event = running.next(), if !self.output.is_full() => {
                    if let Some(ending) = self.take(event) {
                        return Until::Ended(ending);
                    }
                }
            }
            if self.output.is_full() && !self.output.has_unsent() {
                self.write().await;
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Ending> {
        self.heard.send_replace(Instant::now());
        match event {
            Event::Stdout(bytes) => self.came(Stream::Stdout, &bytes),
            Event::Stderr(bytes) => self.came(Stream::Stderr, &bytes),
            Event::Exited(rc) => return Some(Ending::exited(rc)),
            Event::Signalled(signal) => return Some(Ending::signalled(signal)),
            Event::Disconnected(how) => return Some(Ending::aborted(Outcome::Lost, how)),
        }
        None
    }

    fn came(&mut self, stream: Stream, bytes: &[u8]) {
        let known = self.shared.known();
        self.output.take(&known, stream, bytes, Instant::now());
    }

    /// Waits until the run is to end before its script does.
    pub(super) fn told_to_end(&self) -> impl Future<Output = Cause> + use<> {
        let (cancel, deadline) = (self.cancel.clone(), self.deadline);
        let interrupt = self.shared.interrupt.clone();
        async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Cause::Cancelled,
                () = interrupt.cancelled() => Cause::Interrupted,
                () = until(deadline) => Cause::TimedOut,
            }
        }
    }

    pub(super) fn describe(&self, cause: Cause) -> (Outcome, String) {
        cause.describe(&self.task, &self.shared.config)
    }

    fn ended_before_it_began(&self, cause: Cause) -> Ending {
        let (outcome, what) = self.describe(cause);
        Ending::aborted(outcome, format!("{what} The script had not begun."))
    }

    /// Writes what came; meanwhile the script waits where it has to.
    pub(super) async fn write(&mut self) {
        self.output.store(self.shared, self.task.id).await;
    }

    /// Records the end, however long the store takes to accept it.
    async fn record(&mut self, ending: Ending, begun: Instant) {
        failpoint::pass("task.exited");
        let known = self.shared.known();
        for stream in Stream::ALL {
            self.output.release(&known, stream, Instant::now());
        }
        loop {
            // What the store did not take before goes first, then what came after it.
            if self.output.has_unsent() {
                self.write().await;
            }
            if !self.output.has_unsent() {
                let last = self.output.write();
                let now = self.shared.clock.now();
                match self
                    .shared
                    .store
                    .finish_task(self.task.id, last, ending.clone(), now)
                    .await
                {
                    Ok(_) => break,
                    Err(error) => {
                        tracing::error!(task = self.task.id.0, %error, "cannot record the end of a task; trying again");
                    }
                }
            }
            sleep(AGAIN).await;
        }
        failpoint::pass("task.ended");
        tracing::info!(
            task = self.task.id.0,
            instance = self.instance.id.0,
            outcome = ending.outcome().as_str(),
            rc = ending.rc(),
            duration_ms = begun.elapsed().as_millis() as u64,
            bytes = self.output.bytes(),
            "task ended"
        );
    }
}

/// Waits until nothing was heard for so many seconds; for ever where that is 0.
pub async fn silent(mut heard: watch::Receiver<Instant>, seconds: u64) {
    if seconds == 0 {
        return std::future::pending().await;
    }
    let limit = Duration::from_secs(seconds);
    loop {
        let last = *heard.borrow_and_update();
        sleep_until(last + limit).await;
        if *heard.borrow() == last {
            return;
        }
    }
}

/// Waits until then; for ever where there is no such time.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Goes on with `work` for as long as it asks.
async fn answered<T>(asking: &AtomicBool, mut work: Pin<&mut impl Future<Output = T>>) {
    std::future::poll_fn(|context| {
        let going_on = asking.load(Relaxed) && work.as_mut().poll(context).is_pending();
        match going_on && asking.load(Relaxed) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
}
