use super::{Action, Actor, Service};
use crate::domain::{Day, Overview, Result};
use crate::store::Viewer;

impl Service {
    /// What runs, what failed, what waits for somebody, and what ended in the last 24 hours: as far
    /// as they see it.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn overview(&self, actor: &Actor) -> Result<(Overview, Day)> {
        actor.require(Action::ReadTasks)?;
        actor.require(Action::ReadInstances)?;
        let now = self.now();
        let viewer = Viewer {
            scopes: actor.scopes().clone(),
            user: actor.user(),
            decides: actor.may(Action::ApproveTasks),
            reviews: actor.may(Action::ReviewHostKeys),
        };
        let store = &self.inner.store;
        let (mut seen, day) = tokio::try_join!(
            store.overview(viewer, now),
            store.last_day(actor.scopes().clone(), now)
        )?;
        for part in [&mut seen.waiting, &mut seen.to_decide] {
            part.shown = part.shown.drain(..).map(|it| self.explained(it)).collect();
        }
        for part in [&mut seen.to_review, &mut seen.failing] {
            part.shown = part.shown.drain(..).map(|it| self.up_to_date(it)).collect();
        }
        // What was heard since it was written counts.
        let before = seen.failing.shown.len();
        seen.failing.shown.retain(|it| it.health.is_failing());
        seen.failing.count -= before - seen.failing.shown.len();
        Ok((seen, day))
    }
}
