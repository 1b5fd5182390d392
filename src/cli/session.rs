use super::settings::DataFlags;
use super::user::whose;
use super::{Failure, say};
use crate::app;
use crate::domain::{Session, SessionId};
use crate::service::Actor;
use std::process::ExitCode;

/// `wsexec session`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists sessions: id, user, how and when they began and were last used (Unix seconds), from
    /// where
    List {
        /// Only those of this user
        user: Option<String>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Ends a session
    End {
        /// Its id
        id: i64,
        #[command(flatten)]
        data: DataFlags,
    },
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let actor = Actor::local();
    match arguments.command {
        Command::List { user, data } => {
            let sessions = app::existing(&data.load()?, async |service| {
                let of = whose(&service, &actor, user).await?;
                service.sessions(&actor, of).await
            })?;
            sessions.iter().for_each(|session| say(&line(session)));
        }
        Command::End { id, data } => app::existing(&data.load()?, async |service| {
            service.end_session(&actor, SessionId(id)).await
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Without what the browser calls itself: a terminal would take that at its word.
fn line(session: &Session) -> String {
    [
        session.id.to_string(),
        session.user_name.clone(),
        session.method.as_str().into(),
        session.created.to_string(),
        session.seen.to_string(),
        session.address.clone().unwrap_or_else(|| "-".into()),
    ]
    .join("\t")
}
