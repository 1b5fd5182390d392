use super::{Action, Actor, Service};
use crate::domain::Result;

impl Service {
    /// Brings those figures up to date that are looked up and not counted, before all are read.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn refresh_metrics(&self, actor: &Actor) -> Result<()> {
        actor.require(Action::ReadMetrics)?;
        let (waiting, running) = self.inner.store.unended_tasks().await?;
        metrics::gauge!("wsexec_tasks", "state" => "INIT").set(waiting as f64);
        metrics::gauge!("wsexec_tasks", "state" => "CURRENT").set(running as f64);
        let size = self.inner.store.size().await?;
        metrics::gauge!("wsexec_store_bytes", "pages" => "used").set(size.used as f64);
        metrics::gauge!("wsexec_store_bytes", "pages" => "free").set(size.free as f64);
        Ok(())
    }
}
