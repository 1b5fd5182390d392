use super::{Action, Actor, Service};
use crate::domain::{Error, Result, Sealed, SealedPlace};
use std::collections::BTreeMap;

/// How many values are encrypted anew in one transaction.
const BATCH: usize = 64;

/// What is sealed in the store, and under which keys.
#[derive(Debug, Clone, Default)]
pub struct SealedReport {
    /// The key that new values are encrypted under.
    pub current: Option<String>,
    /// The older keys that are known here.
    pub previous: Vec<String>,
    /// How many values are encrypted under which key.
    pub keys: BTreeMap<String, usize>,
    /// Values that cannot be opened, and why.
    pub broken: Vec<(SealedPlace, String)>,
}

impl SealedReport {
    /// The older keys that nothing is encrypted under any more.
    pub fn useless(&self) -> impl Iterator<Item = &String> {
        let unused = |key: &&String| !self.keys.contains_key(*key);
        self.previous.iter().filter(unused)
    }
}

impl Service {
    /// Opens every sealed value.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn check_sealed(&self, actor: &Actor) -> Result<SealedReport> {
        actor.require_confirmed(Action::ManageIdentities, self.now())?;
        let vault = self.inner.vault.clone();
        let all = self.inner.store.all_sealed().await?;
        let look = move || {
            let mut report = SealedReport {
                current: vault.current_key(),
                previous: vault.previous_keys(),
                ..SealedReport::default()
            };
            for (place, sealed) in all {
                if let Err(error) = vault.open(&place.to_string(), &sealed) {
                    let why = error.cause().map_or(error.to_string(), ToString::to_string);
                    report.broken.push((place, why));
                }
                *report.keys.entry(sealed.key).or_default() += 1;
            }
            report
        };
        let report = tokio::task::spawn_blocking(look).await;
        report.map_err(Error::internal)
    }

    /// Encrypts under the current key what is encrypted under an older one, a batch at a time:
    /// interrupted at any time, every value opens, by the one key or the other. What cannot be
    /// opened stays as it is. Gives how many values were encrypted anew.
    ///
    /// # Errors
    /// `Conflict` where there is no master key.
    pub async fn rekey(&self, actor: &Actor) -> Result<usize> {
        actor.require_confirmed(Action::ManageIdentities, self.now())?;
        self.inner.vault.require_key()?;
        let mut done = 0;
        loop {
            let current = self.inner.vault.current_key();
            let all = self.inner.store.all_sealed().await?;
            let old = all.into_iter();
            let old = old.filter(|(_, sealed)| Some(&sealed.key) != current.as_ref());
            let service = self.clone();
            let old: Vec<_> = old.collect();
            let reseal = move || service.resealed(old);
            let batch = tokio::task::spawn_blocking(reseal).await;
            let batch = batch.map_err(Error::internal)??;
            if batch.is_empty() {
                return Ok(done);
            }
            done += self.inner.store.reseal(batch, actor.by(self.now())).await?;
        }
    }

    /// The first of these that can be opened, with what is to stand in their place.
    fn resealed(
        &self,
        old: Vec<(SealedPlace, Sealed)>,
    ) -> Result<Vec<(SealedPlace, Sealed, Sealed)>> {
        let vault = &self.inner.vault;
        let mut batch = Vec::new();
        for (place, sealed) in old {
            let Ok(secret) = vault.open(&place.to_string(), &sealed) else {
                continue;
            };
            let new = vault.seal(&place.to_string(), &secret)?;
            batch.push((place, sealed, new));
            if batch.len() == BATCH {
                break;
            }
        }
        Ok(batch)
    }
}
