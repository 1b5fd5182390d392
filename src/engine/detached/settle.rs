//! The end of a run: what it is judged to be, its record, and the removal of what is left on the
//! machine.

use super::judgement::{self, Stop};
use super::{AGAIN, Run, over};
use crate::domain::{Ending, Stream};
use crate::engine::retry::retry;
use crate::failpoint;
use crate::ssh::Lease;
use crate::ssh::remote::detached::{Detached, State};
use crate::store::OutputWrite;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// All that is to be recorded of a run.
pub(super) struct Over {
    pub(super) ending: Ending,
    /// By this server's clock; now where the machine does not tell.
    pub(super) end: Option<i64>,
    pub(super) last: OutputWrite,
    /// Where the run's directory is to be removed.
    pub(super) session: Option<Lease>,
}

impl Over {
    pub(super) fn unbegun(ending: Ending) -> Self {
        Self {
            ending,
            end: None,
            last: OutputWrite::default(),
            session: None,
        }
    }
}

impl Run<'_> {
    /// How it ended, and when by this server's clock: the machine's own word, corrected by how far
    /// the two clocks are apart.
    pub(super) fn judge(&self, state: &State) -> (Ending, Option<i64>) {
        let stop = self.stop.zip(self.stopped.clone()).map(|(cause, stopped)| {
            let (outcome, what) = self.describe(cause);
            Stop {
                outcome,
                what,
                stopped,
                earlier: self.was_to_end,
            }
        });
        let now = self.shared.clock.now();
        let end = state
            .exit
            .map(|(_, at)| now - state.now.saturating_sub(at).max(0));
        (judgement::judge(state, stop), end)
    }

    /// Records the end, however long the store takes to accept it, and removes what is left on the
    /// machine after that.
    pub(super) async fn settle(&mut self, over: Over) {
        if !self.may_run && retry(self.shared, &self.task, &over.ending).await {
            return;
        }
        let known = self.shared.known();
        for stream in Stream::ALL {
            self.output.release(&known, stream, Instant::now());
        }
        self.flush().await;
        let mut last = over.last;
        last.masked = self.output.masked();
        if last.gaps.is_none() {
            last.totals = Stream::ALL.map(|stream| self.output.end(stream));
            last.gaps = Some([None; 2]);
        }
        let (id, last) = (self.task.id, Arc::new(last));
        let end = over.end.unwrap_or_else(|| self.shared.clock.now());
        while let Err(error) = self
            .shared
            .store
            .finish_task(id, Arc::clone(&last), over.ending.clone(), end)
            .await
        {
            tracing::error!(task = id.0, %error, "cannot record the end of a task; trying again");
            sleep(AGAIN).await;
        }
        tracing::info!(
            task = id.0,
            instance = self.instance.id.0,
            outcome = over.ending.outcome().as_str(),
            rc = over.ending.rc(),
            duration_ms = self.begun.elapsed().as_millis() as u64,
            bytes = last.totals.iter().sum::<u64>(),
            "task ended"
        );
        self.shared.feed.changed(id);
        failpoint::pass("detached.ended");
        if let Some(session) = over.session {
            self.remove(session).await;
            failpoint::pass("detached.removed");
        }
    }

    /// What stays is swept by a later run on the machine.
    async fn remove(&self, mut session: Lease) {
        let removed = async {
            let command = self.command(true).await?;
            let run = Detached {
                store: self.shared.store.id(),
                run: self.task.run.as_ref().map_or("none", |run| &run.0),
                command: &command,
                wanted: None,
            };
            let link = &mut session;
            over!(self, link.remove_detached(run))
        };
        match removed.await {
            // Nothing of the run goes on there.
            Ok(()) => session.release(),
            Err(failure) => {
                // It may repeat what the machine printed.
                let why = self.shared.known().mask(&failure.reason);
                tracing::warn!(task = self.task.id.0, reason = %why, "cannot remove what a detached run left on its instance");
            }
        }
    }
}
