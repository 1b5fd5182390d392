//! `wsexec backup` and `wsexec restore`

use super::settings::DataFlags;
use super::{Failure, moment, say, secrets};
use crate::app::{self, Contents, Restored};
use std::path::PathBuf;
use std::process::ExitCode;

/// `wsexec backup`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to put the copy; nothing may be there yet
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
}

/// `wsexec restore`
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The copy
    file: PathBuf,
    /// Only try it, in a directory beside the copy that is removed again
    #[arg(long)]
    drill: bool,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let contents = app::back_up(&arguments.data.load()?, &arguments.file)?;
    tell(&contents);
    say(&format!(
        "{} is a whole copy. Scripts and output are in it in plain. Keep the key of the audit trail and \
         the master key apart from it: it needs both.",
        arguments.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(arguments: RestoreArguments) -> Result<ExitCode, Failure> {
    let config = arguments.data.load()?;
    let restored = match arguments.drill {
        true => app::drill(&config, &arguments.file)?,
        false => app::restore(&config, &arguments.file)?,
    };
    let Restored {
        contents,
        settled,
        sealed,
        old_anchor,
    } = restored;
    tell(&contents);
    let code = secrets::tell(&sealed);
    say(&format!(
        "ended, as nobody knows what has happened since: {} waiting tasks, {} sessions of the pages. API \
         tokens: {}, also where one was revoked since.",
        settled.tasks, settled.sessions, settled.tokens
    ));
    if let Some(path) = old_anchor {
        say(&format!(
            "The anchor of the audit trail that was there is now {}: it says what the trail had come to.",
            path.display()
        ));
    }
    match arguments.drill {
        true => say("The copy can be restored. Nothing was changed."),
        false => say(&format!(
            "{} holds the store. `wsexec serve` goes on with it.",
            config.data.display()
        )),
    }
    Ok(code)
}

fn tell(contents: &Contents) {
    let Contents {
        users,
        instances,
        tasks,
        identities,
        ..
    } = contents;
    say(&format!(
        "users: {users}, instances: {instances}, tasks: {tasks}, identities: {identities}"
    ));
    if let Some(last) = contents.last_task {
        say(&format!("last task posted: {}", moment(last)));
    }
    if let Some(head) = contents.trail.as_ref().and_then(|it| it.head.as_ref()) {
        say(&format!(
            "audit trail: {} records, as they were written",
            head.n
        ));
    }
}
