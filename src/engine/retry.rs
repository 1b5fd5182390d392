use super::Shared;
use crate::domain::{Ending, Task};

/// Puts a task back to what waits, where it could not begin and may be tried again. What the store
/// does not take now ends the task: it is not left CURRENT for an attempt to come.
pub async fn retry(shared: &Shared, task: &Task, ending: &Ending) -> bool {
    if !task.may_retry(ending) {
        return false;
    }
    let (id, now) = (task.id, shared.clock.now());
    match shared.store.retry_task(id, ending.clone(), now).await {
        Ok(Some(task)) => {
            let (attempt, delay) = (task.attempt, task.retry_delay);
            tracing::info!(task = id.0, attempt, delay, "task will be tried again");
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(task = id.0, %error, "cannot put a task back to what waits");
            false
        }
    }
}
