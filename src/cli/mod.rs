//! The command line: one file for each subcommand.

mod audit;
mod backup;
mod certs;
mod check;
mod demo;
mod failure;
mod generate;
mod identity;
mod run;
mod secrets;
mod serve;
mod session;
mod settings;
mod status;
mod terminal;
mod token;
mod user;

pub use failure::Failure;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Runs scripts on remote machines over SSH, for people and programs that ask over HTTPS.
#[derive(Debug, Parser)]
#[command(name = "wsexec", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the service
    Serve(serve::Arguments),
    /// Starts the service in a temporary directory, with an SSH server of its own to try it on
    Demo(demo::Arguments),
    /// Runs a script through a server, shows its output and exits with its exit code
    Run(run::Arguments),
    /// Adds, lists, changes and removes users, straight on the data directory
    User(user::Arguments),
    /// Keeps keys and secrets by name, straight in the data directory
    Identity(identity::Arguments),
    /// Makes the master key that secrets are encrypted under, checks and changes it
    Secrets(secrets::Arguments),
    /// Makes a private authority and a certificate for the server
    Certs(certs::Arguments),
    /// Verifies and exports the audit trail, straight from the data directory
    Audit(audit::Arguments),
    /// Makes, lists and revokes API tokens, straight on the data directory
    Token(token::Arguments),
    /// Lists and ends sessions of the pages, straight on the data directory
    Session(session::Arguments),
    /// Copies the store into a file, also beside a running server, and proves the copy
    Backup(backup::Arguments),
    /// Makes the store of a new data directory from a copy
    Restore(backup::RestoreArguments),
    /// Says whether configuration, certificate, store and SSH identities are usable
    Check(check::Arguments),
    /// Says whether a server runs and is ready, and how its store is: exit code 0 or 1
    Status(status::Arguments),
    /// Prints what completes commands and options in a shell
    Completions(generate::Completions),
    /// Writes the manual pages into a directory
    Man(generate::Man),
    #[command(hide = true)]
    DemoConnection(demo::ConnectionArguments),
    #[command(hide = true)]
    DemoExec(demo::ExecArguments),
}

/// Does what the arguments say. The exit code is 0 for done, 1 for failed, 2 for bad usage; `run`
/// gives the script's own, and 125 for everything else.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let result = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => match parsed.command {
            Command::Serve(arguments) => serve::main(arguments),
            Command::Demo(arguments) => demo::main(arguments),
            Command::Run(arguments) => run::main(arguments),
            Command::User(arguments) => user::main(arguments),
            Command::Identity(arguments) => identity::main(arguments),
            Command::Secrets(arguments) => secrets::main(arguments),
            Command::Certs(arguments) => certs::main(arguments),
            Command::Audit(arguments) => audit::main(arguments),
            Command::Token(arguments) => token::main(arguments),
            Command::Session(arguments) => session::main(arguments),
            Command::Backup(arguments) => backup::main(arguments),
            Command::Restore(arguments) => backup::restore(arguments),
            Command::Check(arguments) => check::main(arguments),
            Command::Status(arguments) => status::main(arguments),
            Command::Completions(arguments) => generate::completions(arguments),
            Command::Man(arguments) => generate::man(arguments),
            Command::DemoConnection(arguments) => demo::connection(arguments),
            Command::DemoExec(arguments) => demo::exec(arguments),
        },
        Err(error) => return usage(&error, &arguments),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// One line on stdout. Where nobody reads it any more, there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A moment in Unix seconds, as RFC 3339 writes it.
fn moment(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = at.and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}

/// Shows clap's answer: help and version on stdout, the rest on stderr.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // As in `say`.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        // A script of that name may end with 2, and must not be taken for this.
        _ if arguments.get(1).is_some_and(|a| a == "run") => ExitCode::from(run::FAILED),
        _ => ExitCode::from(2),
    }
}
