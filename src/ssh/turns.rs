//! Logins take turns: a server that gets too many at once drops some (`MaxStartups`), so that we
//! must not be the ones who send them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Logins under way to one place at once. sshd begins to drop them past ten by default, whoever
/// they come from.
const AT_ONCE: usize = 4;

/// Who may log in now, by host and port.
#[derive(Default)]
pub struct Turns {
    places: Mutex<HashMap<(String, u16), Weak<Semaphore>>>,
}

/// Held for as long as a login takes.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Waits for a turn; needs a deadline.
    pub async fn wait(&self, host: &str, port: u16) -> Option<Turn> {
        let place = self.place(host, port);
        let permit = place.acquire_owned().await.ok()?;
        Some(Turn { _permit: permit })
    }

    fn place(&self, host: &str, port: u16) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_ascii_lowercase(), port);
        if let Some(place) = places.get(&key).and_then(Weak::upgrade) {
            return place;
        }
        // What nobody waits for or holds any more goes before anything is added.
        places.retain(|_, place| place.strong_count() > 0);
        let place = Arc::new(Semaphore::new(AT_ONCE));
        places.insert(key, Arc::downgrade(&place));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn only_so_many_have_their_turn_at_once_and_other_places_do_not_wait() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.wait("One", 22).await);
        }
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, turns.wait("one", 22)).await.is_err());
        assert!(timeout(soon, turns.wait("one", 23)).await.is_ok());
        held.pop();
        assert!(timeout(soon, turns.wait("one", 22)).await.is_ok());
        drop(held);
        turns.wait("other", 22).await;
        assert_eq!(turns.places.lock().unwrap().len(), 1);
    }
}
