//! What the connections tell of the instances: heard in memory, and written together once in a
//! while, so that a busy machine costs no write for each connection.

use super::{RECORD, Shared};
use crate::domain::{Health, InstanceId, SshLibrary};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, timeout};

/// How long news may wait to be written.
const PERIOD: Duration = Duration::from_secs(5);
/// The longest error that is kept, in characters.
const ERROR_MAX: usize = 1_000;

/// News that is not in the store yet: at most one entry for each instance.
#[derive(Default)]
pub struct News {
    heard: Mutex<HashMap<InstanceId, Health>>,
}

impl News {
    /// A login succeeded. The latency, where the connection is a new one.
    pub fn seen(
        &self,
        instance: InstanceId,
        now: i64,
        latency: Option<Duration>,
        library: SshLibrary,
    ) {
        let latency_ms = latency.map(|it| u32::try_from(it.as_millis()).unwrap_or(u32::MAX));
        let health = Health {
            last_seen: Some(now),
            latency_ms,
            library: Some(library),
            ..Health::default()
        };
        self.note(instance, health);
    }

    /// A connection failed.
    pub fn failed(&self, instance: InstanceId, now: i64, reason: &str) {
        let health = Health {
            last_error: Some(reason.chars().take(ERROR_MAX).collect()),
            last_error_at: Some(now),
            ..Health::default()
        };
        self.note(instance, health);
    }

    fn note(&self, instance: InstanceId, health: Health) {
        let mut heard = self.lock();
        let before = heard.remove(&instance).unwrap_or_default();
        heard.insert(instance, health.over(before));
    }

    pub fn of(&self, instance: InstanceId) -> Option<Health> {
        self.lock().get(&instance).cloned()
    }

    pub fn forget(&self, instance: InstanceId) {
        self.lock().remove(&instance);
    }

    fn all(&self) -> Vec<(InstanceId, Health)> {
        let heard = self.lock();
        heard.iter().map(|(id, it)| (*id, it.clone())).collect()
    }

    /// These are in the store now; what was heard since stays.
    fn stored(&self, news: &[(InstanceId, Health)]) {
        let mut heard = self.lock();
        for (id, health) in news {
            if heard.get(id) == Some(health) {
                heard.remove(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Health>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what was heard, once in a while, until the stop.
pub async fn keep(shared: Arc<Shared>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            _ = period.tick() => store(&shared).await,
        }
    }
}

/// Writes what was heard. What the store does not take stays for the next time.
pub async fn store(shared: &Shared) {
    let news = shared.health.all();
    if news.is_empty() {
        return;
    }
    match timeout(RECORD, shared.store.note_health(news.clone())).await {
        Ok(Ok(())) => shared.health.stored(&news),
        Ok(Err(error)) => tracing::warn!(%error, "cannot store what was heard of instances"),
        Err(_) => tracing::warn!("the store takes long; what was heard of instances waits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_laid_over_news_and_what_was_heard_since_a_write_stays() {
        let (news, id) = (News::default(), InstanceId(1));
        news.failed(id, 10, "no route");
        let latency = Some(Duration::from_millis(7));
        news.seen(id, 20, latency, SshLibrary::Thrussh);
        news.seen(id, 30, None, SshLibrary::Russh);
        let heard = news.of(id).unwrap();
        assert_eq!((heard.last_seen, heard.latency_ms), (Some(30), Some(7)));
        assert_eq!(heard.last_error.as_deref(), Some("no route"));
        assert_eq!(heard.library, Some(SshLibrary::Russh));
        assert!(!heard.is_failing());

        let written = news.all();
        news.failed(id, 40, "gone");
        news.stored(&written);
        assert!(news.of(id).unwrap().is_failing());
        news.stored(&news.all());
        assert_eq!(news.of(id), None);
    }
}
