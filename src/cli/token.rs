use super::settings::DataFlags;
use super::user::{role, rules, shown, whose};
use super::{Failure, say};
use crate::app;
use crate::domain::{Expiry, Role, Token, TokenId, TokenRequest};
use crate::service::Actor;
use std::process::ExitCode;

/// `wsexec token`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes an API token for a user and shows it, this once
    Create {
        /// Whose
        user: String,
        /// What it is for
        name: String,
        /// What it may do at most [default: as the user]
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        /// On what at most: LOGIN@INSTANCES; may repeat [default: as the user]
        #[arg(long = "scope", value_name = "RULE")]
        scope: Vec<String>,
        /// How many days it lives, 1 to 366 [default: 90]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: Option<u16>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Lists API tokens: id, user, name, role, scope, when they expire and were last used (Unix
    /// seconds)
    List {
        /// Only those of this user
        user: Option<String>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Revokes an API token
    Revoke {
        /// Its id
        id: i64,
        #[command(flatten)]
        data: DataFlags,
    },
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let actor = Actor::local();
    match arguments.command {
        Command::Create {
            user,
            name,
            role,
            scope,
            days,
            data,
        } => {
            let request = TokenRequest {
                name,
                role,
                scope: rules(&scope)?,
                expires: days.map(|days| Expiry::In(i64::from(days) * 24 * 60 * 60)),
            };
            let (_, text) = app::existing(&data.load()?, async |service| {
                let user = service.user_named(&actor, &user).await?;
                service.create_token(&actor, Some(user.id), request).await
            })?;
            say(text.expose());
        }
        Command::List { user, data } => {
            let tokens = app::existing(&data.load()?, async |service| {
                let of = whose(&service, &actor, user).await?;
                service.tokens(&actor, of).await
            })?;
            tokens.iter().for_each(|token| say(&line(token)));
        }
        Command::Revoke { id, data } => app::existing(&data.load()?, async |service| {
            service.revoke_token(&actor, TokenId(id)).await
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn line(token: &Token) -> String {
    let used = token.used.map_or_else(|| "-".into(), |at| at.to_string());
    [
        token.id.to_string(),
        token.user_name.clone(),
        token.name.clone(),
        token.role.as_str().into(),
        shown(&token.scope),
        token.expires.to_string(),
        used,
    ]
    .join("\t")
}
