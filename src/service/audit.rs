use super::{Action, Actor, Service};
use crate::domain::{AuditFilter, AuditRecord, By, Page, Result};
use crate::store::Note;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often refusals that repeat are put on record.
const PERIOD: Duration = Duration::from_secs(60);
/// Every so many periods the log is told where the trail ends.
const TOLD: u32 = 60;

impl Service {
    /// One batch of the audit trail: at most [`Service::BATCH`] records. The next one is
    /// `page.following(last n)`; fewer records than asked for are the last.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unavailable`.
    pub async fn audit(
        &self,
        actor: &Actor,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Vec<AuditRecord>> {
        actor.require(Action::ReadAudit)?;
        filter.validate()?;
        let page = page.at_most(Self::BATCH);
        self.inner.store.audit(filter.clone(), page).await
    }

    /// Puts something that changes nothing in the store on record, before it is done.
    ///
    /// # Errors
    /// `Unavailable`: it is not to be done then.
    pub(super) async fn put_on_record(
        &self,
        actor: &Actor,
        action: &'static str,
        (object, detail): (String, Value),
    ) -> Result<()> {
        let note = Note {
            by: actor.by(self.now()),
            action,
            object,
            count: 1,
            detail,
        };
        self.inner.store.note(vec![note]).await
    }

    /// Puts on record what was only counted until now, and tells the log where the trail ends: now
    /// and then, and once more at the stop.
    pub async fn keep_record(self, stop: CancellationToken) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = period.tick() => {}
            }
            self.record_refusals().await;
            if ticks % TOLD == 0 {
                self.tell_head().await;
            }
            ticks += 1;
        }
        self.record_refusals().await;
        self.tell_head().await;
    }

    /// Puts the stop of the server on record.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_stop(&self) -> Result<()> {
        let note = server_note("server.stop", self.now());
        self.inner.store.note(vec![note]).await
    }

    /// The log is the third place where the end of the trail can be looked up.
    async fn tell_head(&self) {
        match self.inner.store.audit_head().await {
            Ok(Some(head)) => {
                let mac: String = head.mac.iter().map(|byte| format!("{byte:02x}")).collect();
                tracing::info!(records = head.n, mac, "audit trail");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot read the end of the audit trail"),
        }
    }
}

/// What the server itself does.
pub fn server_note(action: &'static str, now: i64) -> Note {
    Note {
        by: By::server(now),
        action,
        object: "server".into(),
        count: 1,
        detail: json!({"version": env!("CARGO_PKG_VERSION")}),
    }
}
