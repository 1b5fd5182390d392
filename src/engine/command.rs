use super::Shared;
use super::identities::{At, Use, become_password, instance_of, secrets};
use super::patience::patiently;
use crate::domain::{Instance, Outcome, Task};
use crate::ssh::{Command, Failure};
use bytes::Bytes;

/// A task's script and how it is run, with what the store and the configuration keep apart from
/// the task: what it reads, and the password and the secrets that it refers to.
pub async fn command(shared: &Shared, task: &Task) -> Result<Command, Failure> {
    let command = command_without_stdin(shared, task).await?;
    let secrets = match task.secrets.is_empty() {
        true => Vec::new(),
        false => {
            let instance = instance_of(shared, task.instance).await?;
            secrets(shared, task, &at(task, &instance)).await?
        }
    };
    Ok(Command {
        stdin: stdin(shared, task).await?,
        secrets,
        ..command
    })
}

/// As [`command`], for a script that is there already.
pub async fn command_without_stdin(shared: &Shared, task: &Task) -> Result<Command, Failure> {
    let become_user = task.launch.become_user.as_ref();
    let password = match become_user.and_then(|become_user| become_user.password.as_deref()) {
        Some(name) => {
            let instance = instance_of(shared, task.instance).await?;
            Some(become_password(shared, &at(task, &instance), name).await?)
        }
        None => None,
    };
    Ok(Command {
        script: task.script.clone(),
        launch: task.launch.clone(),
        password,
        secrets: Vec::new(),
        stdin: None,
    })
}

fn at<'a>(task: &'a Task, instance: &'a Instance) -> At<'a> {
    At {
        instance,
        user: &task.user,
        r#use: Use::Run(task.id),
    }
}

async fn stdin(shared: &Shared, task: &Task) -> Result<Option<Bytes>, Failure> {
    if task.stdin_bytes == 0 {
        return Ok(None);
    }
    match patiently(shared, || shared.store.task_stdin(task.id)).await {
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
