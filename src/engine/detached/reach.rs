//! A machine that does not answer: what is said of it meanwhile, and when it is given up.

use super::settle::Over;
use super::{Cause, Run};
use crate::domain::{Ending, InstanceState, Outcome};
use crate::engine::remains::after_the_end;
use crate::ssh::Failure;
use futures_util::FutureExt;
use time::OffsetDateTime;
use time::macros::format_description;

/// How often in a row a machine may let the server in and come to nothing, once the run is to end:
/// what runs there can spoil what the server needs, for as long as it likes.
const IN_VAIN: u32 = 6;

impl Run<'_> {
    pub(super) async fn out_of_reach(&mut self, failure: &Failure) {
        self.flush().await;
        if self.out_of_reach_since.is_some() {
            return;
        }
        let now = self.shared.clock.now();
        self.out_of_reach_since = Some(now);
        let why = self.shared.known().mask(&failure.reason);
        tracing::warn!(task = self.task.id.0, reason = %why, "a detached run is out of reach; trying again");
        let since = OffsetDateTime::from_unix_timestamp(now)
            .ok()
            .and_then(|now| {
                now.format(format_description!(
                    "[year]-[month]-[day] [hour]:[minute]:[second] UTC"
                ))
                .ok()
            });
        self.note(Some(format!(
            "The instance does not answer since {}, and is tried again; the run may go on there meanwhile. {}",
            since.unwrap_or_default(),
            why
        )))
        .await;
    }

    pub(super) async fn back_in_reach(&mut self) {
        // A server before this one may have left its note.
        if self.out_of_reach_since.take().is_some() || self.task.reason.take().is_some() {
            self.note(None).await;
        }
    }

    /// The end of a run that is to end, where its machine is there and does not let that be done,
    /// or be told. One that is not reached is waited for.
    pub(super) fn given_up(&mut self, failure: &Failure) -> Option<Over> {
        let let_in = std::mem::take(&mut self.let_in);
        let cause = self.stop.or_else(|| self.told_to_end().now_or_never())?;
        self.in_vain += u32::from(let_in);
        if self.in_vain < IN_VAIN {
            return None;
        }
        let (outcome, what) = self.describe(cause);
        let what = match &self.stopped {
            Some(stopped) => after_the_end(&what, &stopped.found),
            None => {
                format!("{what} It is not confirmed that nothing of it is left on the instance.")
            }
        };
        let reason = format!(
            "{what} The instance lets the server in and does not answer as it should, so that the last of the output \
             may be missing and its directory stays there. {}",
            failure.reason
        );
        Some(Over::unbegun(Ending::aborted(outcome, reason)))
    }

    /// The end of a cancelled run whose machine is not reached and is DEACTIVATE: nobody counts on
    /// it any more.
    pub(super) async fn written_off(&self, failure: &Failure) -> Option<Over> {
        if self.told_to_end().now_or_never() != Some(Cause::Cancelled) {
            return None;
        }
        let instance = self.shared.store.instance(self.instance.id).await.ok()??;
        if instance.state == InstanceState::Active {
            return None;
        }
        let reason = format!(
            "Cancelled on request. The instance is DEACTIVATE and is not reached, so that it is not confirmed that \
             nothing of it is left there, and the last of the output may be missing. {}",
            failure.reason
        );
        Some(Over::unbegun(Ending::aborted(Outcome::Cancelled, reason)))
    }

    async fn note(&self, reason: Option<String>) {
        let id = self.task.id;
        match self.shared.store.note_task(id, reason).await {
            Ok(()) => self.shared.feed.changed(id),
            Err(error) => {
                tracing::warn!(task = id.0, %error, "cannot say that a run is out of reach")
            }
        }
    }
}
