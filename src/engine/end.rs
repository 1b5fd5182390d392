//! The end of a script before its time, and of one whose connection broke.

use super::Shared;
use super::cancel::Cause;
use super::remains::{Remains, after_the_end};
use super::run::{Run, Until};
use crate::config::Orphans;
use crate::domain::{Ending, InstanceId, Outcome, RemoteProcess, TaskId};
use crate::failpoint;
use crate::ssh::{Finding, Lease, Left, Located, Running, Session};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;

/// How long the last output of a script that was ended may take to arrive.
const REST: Duration = Duration::from_secs(2);
/// How long a script runs before it is looked where: most have ended by then.
const SHORT: Duration = Duration::from_millis(300);
/// How long another connection may take while the server stops.
pub const HURRY: Duration = Duration::from_secs(10);

impl<'a> Run<'a> {
    /// Ends what the script has started on the machine, and takes its last words meanwhile.
    pub(super) async fn end(
        &mut self,
        session: Lease,
        running: Option<Running>,
        cause: Cause,
    ) -> Ending {
        let remains = self.remains(&session);
        let (grace, patience) = self.times(cause);
        let mut ended = None;
        let end = remains.end(Some(session), grace, patience);
        tokio::pin!(end);
        let found = match running {
            None => end.await,
            Some(mut running) => {
                let found = match self.take_until(&mut running, &mut end).await {
                    Until::Stopped(found) => found,
                    Until::Ended(ending) => {
                        ended = Some(ending);
                        end.await
                    }
                };
                let rest = self.take_until(&mut running, sleep(REST));
                if ended.is_none()
                    && let Until::Ended(ending) = rest.await
                {
                    ended = Some(ending);
                }
                found
            }
        };
        failpoint::pass("cancel.confirmed");
        let signal = ended.and_then(|ending| ending.signal().map(str::to_owned));
        self.ended_for(cause, &found).with_signal(signal)
    }

    /// What became of a script whose connection broke: its machine is asked over another one.
    pub(super) async fn lost(&mut self, session: Lease, how: &str) -> Ending {
        let remains = self.remains(&session);
        drop(session);
        if self.output.due().is_some() {
            self.write().await;
        }
        let (grace, patience) = self.times(Cause::Cancelled);
        let orphans = self.shared.config.orphans;
        let told = self.told_to_end();
        tokio::select! {
            biased;
            cause = told => {
                let (grace, patience) = self.times(cause);
                self.ended_for(cause, &remains.end(None, grace, patience).await)
            }
            what = what_became(&remains, orphans, grace, patience) => {
                Ending::aborted(Outcome::Lost, format!("{how} {what}"))
            }
        }
    }

    fn remains(&self, session: &Session) -> Remains<'a> {
        let process = self.process.clone();
        Remains::of(self.shared, &self.task, process, session.ends(), self.begun)
    }

    fn ended_for(&self, cause: Cause, found: &Finding) -> Ending {
        let (outcome, what) = self.describe(cause);
        Ending::aborted(outcome, after_the_end(&what, found))
    }

    /// The time between TERM and KILL, and how long another connection may take.
    fn times(&self, cause: Cause) -> (Duration, Duration) {
        let config = &self.shared.config;
        let patience = Duration::from_secs(config.reconnect_timeout);
        let patience = match cause {
            Cause::Interrupted => patience.min(HURRY),
            Cause::Cancelled | Cause::TimedOut | Cause::Silent => patience,
        };
        (Duration::from_secs(config.cancel_grace), patience)
    }
}

/// Asks what became of a script that nothing is heard of any more, and does what the configuration
/// wants done: a sentence or two for the reason.
pub async fn what_became(
    remains: &Remains<'_>,
    orphans: Orphans,
    grace: Duration,
    patience: Duration,
) -> String {
    // One question: a machine may take no second one on a connection.
    let found = match orphans {
        Orphans::Leave => remains.look(patience).await,
        Orphans::End => remains.end(None, grace, patience).await,
    };
    if found.told {
        let what = "It still ran there and was told to end (engine.orphans).";
        return after_the_end(what, &found);
    }
    let what = match &found.left {
        Left::Nothing => "Nothing of it runs there any more; its exit code is not known.".into(),
        Left::Processes(which) => {
            format!("It still runs there and was left alone (engine.orphans): {which}.")
        }
        Left::Unknown(why) => {
            format!("The machine was asked what became of it and does not tell. {why}")
        }
        Left::Unasked(why) => {
            format!("The machine could not be asked what became of it. {why}")
        }
    };
    match found.escaped {
        Some(escaped) => format!("{what} {escaped}"),
        None => what,
    }
}

/// Learns where a script runs that goes on for longer than a moment, and keeps it: in the store,
/// for the next server, and in `process`; `asking` is true while the machine has not answered.
/// Never returns.
pub async fn locate(
    shared: &Shared,
    (id, login): (TaskId, &(InstanceId, String)),
    session: &mut Session,
    process: &mut Option<RemoteProcess>,
    asking: &AtomicBool,
) -> Infallible {
    sleep(SHORT).await;
    if process.is_none() && !shared.mutes.holds(login.0, &login.1) {
        asking.store(true, Relaxed);
        match session.locate().await {
            Located::Process(found) => *process = Some(found),
            Located::Never => shared.mutes.insert(login.0, &login.1),
            Located::Unknown => {}
        }
        asking.store(false, Relaxed);
    }
    if let Some(found) = process {
        if let Err(error) = shared.store.record_process(id, found.clone()).await {
            tracing::warn!(task = id.0, %error, "cannot record where a script runs");
        }
        failpoint::pass("task.located");
    }
    std::future::pending().await
}
