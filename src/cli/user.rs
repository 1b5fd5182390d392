use super::settings::DataFlags;
use super::{Failure, say};
use crate::app;
use crate::domain::{self, Role, Scope, Secret, User, UserChange, UserId};
use crate::service::{Actor, Service};
use std::io::Read;
use std::process::ExitCode;

/// No password is longer than this, in bytes; more on stdin is a mistake.
const STDIN_MAX: u64 = 4096;
/// The rule that narrows nothing.
const ALL: &str = "*@*";

/// `wsexec user`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Adds a user
    Add {
        /// The login name
        name: String,
        /// What the user may do
        #[arg(long, default_value = "admin", value_parser = role)]
        role: Role,
        /// On what: LOGIN@INSTANCES, such as deploy@web-*; may repeat
        #[arg(long = "scope", value_name = "RULE")]
        scope: Vec<String>,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Lists the users: name, role, scope (*@* for everything), state
    List {
        #[command(flatten)]
        data: DataFlags,
    },
    /// Sets a user's password
    Passwd {
        /// The login name
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Changes a user's role, scope or state; what they are logged in with ends
    Change {
        /// The login name
        name: String,
        /// What the user may do
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        /// On what, instead of all rules that there were; may repeat, *@* for everything
        #[arg(long = "scope", value_name = "RULE")]
        scope: Vec<String>,
        /// Let nobody log in as the user until --enable
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let the user log in again
        #[arg(long)]
        enable: bool,
        /// Who logs in as the user at the OpenID provider: the claim "sub" of their ID token; an
        /// empty one for nobody
        #[arg(long)]
        subject: Option<String>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Removes a user
    Remove {
        /// The login name
        name: String,
        #[command(flatten)]
        data: DataFlags,
    },
}

#[derive(Debug, clap::Args)]
struct PasswordFlags {
    /// Read the password from stdin, without its last line end, instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn role(text: &str) -> Result<Role, String> {
    let all = Role::ALL.map(Role::as_str).join(", ");
    Role::parse(text).ok_or_else(|| format!("must be one of {all}"))
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let actor = Actor::local();
    match arguments.command {
        Command::Add {
            name,
            role,
            scope,
            password,
            data,
        } => {
            let scope = rules(&scope)?;
            let config = data.load()?;
            let password = password.read()?;
            app::local(&config, async |service| {
                service
                    .add_user(&actor, &name, (role, scope), &password)
                    .await
            })?;
        }
        Command::List { data } => {
            let users = app::existing(&data.load()?, async |service| service.users(&actor).await)?;
            for user in users {
                say(&line(&user));
            }
        }
        Command::Passwd {
            name,
            password,
            data,
        } => {
            let config = data.load()?;
            let password = password.read()?;
            app::existing(&config, async |service| {
                let user = service.user_named(&actor, &name).await?;
                service.set_password(&actor, user.id, &password).await
            })?;
            app::forget_first_password(&config, &name)?;
        }
        Command::Change {
            name,
            role,
            scope,
            disable,
            enable,
            subject,
            data,
        } => {
            let change = UserChange {
                role,
                scope: (!scope.is_empty()).then(|| rules(&scope)).transpose()?,
                disabled: (disable || enable).then_some(disable),
                subject: subject.map(|it| Some(it).filter(|it| !it.is_empty())),
            };
            app::existing(&data.load()?, async |service| {
                let user = service.user_named(&actor, &name).await?;
                service.change_user(&actor, user.id, change, None).await
            })?;
        }
        Command::Remove { name, data } => {
            let config = data.load()?;
            app::existing(&config, async |service| {
                let user = service.user_named(&actor, &name).await?;
                service.remove_user(&actor, user.id, None).await
            })?;
            app::forget_first_password(&config, &name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The user of that name; nobody where none was named.
pub(super) async fn whose(
    service: &Service,
    actor: &Actor,
    name: Option<String>,
) -> domain::Result<Option<UserId>> {
    match name {
        Some(name) => Ok(Some(service.user_named(actor, &name).await?.id)),
        None => Ok(None),
    }
}

/// The scope that these rules are; `*@*` alone is none.
pub(super) fn rules(rules: &[String]) -> Result<Scope, Failure> {
    let narrow = rules.iter().map(String::as_str).filter(|it| *it != ALL);
    Scope::parse(narrow).map_err(|why| Failure::new(format!("--scope: {why}")).with_code(2))
}

/// A scope as a column of a list.
pub(super) fn shown(scope: &Scope) -> String {
    match scope.is_everything() {
        true => ALL.into(),
        false => scope.to_string(),
    }
}

fn line(user: &User) -> String {
    let state = match user.disabled {
        true => "disabled",
        false => "active",
    };
    let (role, scope) = (user.role.as_str(), shown(&user.scope));
    format!("{}\t{role}\t{scope}\t{state}", user.name)
}

impl PasswordFlags {
    /// From stdin where that was asked for, else from the terminal, twice and without echo.
    fn read(&self) -> Result<Secret, Failure> {
        if self.password_stdin {
            from_stdin()
        } else {
            from_terminal()
        }
    }
}

fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(STDIN_MAX)
        .read_to_string(&mut text)
        .map_err(|e| Failure::new(format!("cannot read the password from stdin: {e}")))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(Secret::new(text))
}

fn from_terminal() -> Result<Secret, Failure> {
    let ask =
        |prompt: &str| {
            rpassword::prompt_password(prompt).map(Secret::new).map_err(|e| {
            Failure::new(format!(
                "cannot ask for the password on a terminal ({e}); give it to --password-stdin"
            ))
        })
        };
    let first = ask("Password: ")?;
    let second = ask("The same again: ")?;
    if first.expose() != second.expose() {
        return Err(Failure::new("the two passwords are not the same"));
    }
    Ok(first)
}
