use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Lets those who want to know the same thing at the same time wait for one answer: fifty programs
/// that log in as one user after a restart cost one hash.
pub struct Flights<T> {
    under_way: Mutex<HashMap<[u8; 32], watch::Receiver<Option<T>>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
        }
    }
}

impl<T: Clone> Flights<T> {
    /// The answer of `find`, or of whoever looks for the same already. Nothing is kept once it is
    /// found.
    pub async fn join(&self, what: [u8; 32], find: impl Future<Output = T>) -> T {
        loop {
            match self.board(what) {
                Place::Lead(answer) => {
                    let _landing = Landing(self, what);
                    let found = find.await;
                    answer.send_replace(Some(found.clone()));
                    return found;
                }
                Place::Follow(mut answer) => {
                    // An error: whoever looked for it has gone away before it was found.
                    if let Ok(found) = answer.wait_for(Option::is_some).await
                        && let Some(found) = found.clone()
                    {
                        return found;
                    }
                }
            }
        }
    }

    fn board(&self, what: [u8; 32]) -> Place<T> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match under_way.get(&what) {
            Some(answer) => Place::Follow(answer.clone()),
            None => {
                let (answer, follow) = watch::channel(None);
                under_way.insert(what, follow);
                Place::Lead(answer)
            }
        }
    }
}

enum Place<T> {
    Lead(watch::Sender<Option<T>>),
    Follow(watch::Receiver<Option<T>>),
}

struct Landing<'a, T>(&'a Flights<T>, [u8; 32]);

impl<T> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        let mut under_way = self
            .0
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn those_who_ask_at_once_share_an_answer_and_later_ones_do_not() {
        let (flights, asked, gate) = (Flights::default(), AtomicUsize::new(0), Notify::new());
        let find = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            gate.notified().await;
            7
        };
        let (one, two, ()) = tokio::join!(
            flights.join([1; 32], find()),
            flights.join([1; 32], find()),
            async { gate.notify_one() }
        );
        assert_eq!((one, two, asked.load(Ordering::Relaxed)), (7, 7, 1));
        gate.notify_one();
        assert_eq!(flights.join([1; 32], find()).await, 7);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn where_the_first_goes_away_the_next_one_looks() {
        let flights = Flights::default();
        let abandoned = flights.join([1; 32], std::future::pending::<i32>());
        tokio::select! {
            biased;
            _ = abandoned => {}
            found = flights.join([2; 32], async { 2 }) => assert_eq!(found, 2),
        }
        assert_eq!(flights.join([1; 32], async { 1 }).await, 1);
    }
}
