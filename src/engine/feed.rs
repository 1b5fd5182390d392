use crate::domain::TaskId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Who watches which task. It carries no news itself: who is told reads the store.
#[derive(Default)]
pub struct Feed {
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    senders: HashMap<TaskId, watch::Sender<()>>,
    /// At so many entries those that nobody watches any more are dropped.
    prune_at: usize,
}

impl Feed {
    pub fn watch(&self, task: TaskId, stopping: CancellationToken) -> Watch {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.senders.len() >= watched.prune_at {
            watched
                .senders
                .retain(|_, sender| sender.receiver_count() > 0);
            watched.prune_at = 64 + watched.senders.len() * 2;
        }
        let sender = watched
            .senders
            .entry(task)
            .or_insert_with(|| watch::Sender::new(()));
        Watch {
            changes: sender.subscribe(),
            stopping,
        }
    }

    pub fn changed(&self, task: TaskId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.senders.get(&task)
            && sender.send(()).is_err()
        {
            watched.senders.remove(&task);
        }
    }
}

/// Tells of changes of one task. Watch first, then read: no change is missed.
pub struct Watch {
    changes: watch::Receiver<()>,
    stopping: CancellationToken,
}

impl Watch {
    /// Waits for the next change. False where the server stops, at once. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            changed = self.changes.changed() => changed.is_ok(),
        }
    }
}
