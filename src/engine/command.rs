use super::Shared;
use crate::domain::{Outcome, Task};
use crate::ssh::{Command, Failure};
use bytes::Bytes;

/// A task's script and how it is run, with what the store and the configuration keep apart from
/// the task: what it reads, and the password that it refers to.
pub async fn command(shared: &Shared, task: &Task) -> Result<Command, Failure> {
    let command = command_without_stdin(shared, task).await?;
    Ok(Command {
        stdin: stdin(shared, task).await?,
        ..command
    })
}

/// As [`command`], for a script that is there already.
pub async fn command_without_stdin(shared: &Shared, task: &Task) -> Result<Command, Failure> {
    let become_user = task.launch.become_user.as_ref();
    let password = match become_user.and_then(|become_user| become_user.password.as_deref()) {
        Some(name) => Some(shared.connector.become_password(name).await?),
        None => None,
    };
    Ok(Command {
        script: task.script.clone(),
        launch: task.launch.clone(),
        password,
        stdin: None,
    })
}

async fn stdin(shared: &Shared, task: &Task) -> Result<Option<Bytes>, Failure> {
    if task.stdin_bytes == 0 {
        return Ok(None);
    }
    match shared.store.task_stdin(task.id).await {
        Ok(stdin) => Ok(stdin.map(Bytes::from)),
        Err(error) => {
            tracing::error!(task = task.id.0, %error, "cannot read the standard input of a task");
            Err(Failure::new(
                Outcome::StartFailed,
                "The script's standard input could not be read from the store, so nothing was run. Post the task \
                 again.",
            ))
        }
    }
}
