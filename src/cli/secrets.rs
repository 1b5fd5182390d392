use super::settings::DataFlags;
use super::{Failure, say};
use crate::app;
use crate::service::{Actor, SealedReport};
use crate::vault;
use std::path::PathBuf;
use std::process::ExitCode;

/// `wsexec secrets`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a master key, to be named in secrets.master_key_file
    Init {
        /// Where to put it; nothing may be there yet
        file: PathBuf,
    },
    /// Opens every secret of the store, and says under which keys they are encrypted
    Check {
        #[command(flatten)]
        data: DataFlags,
    },
    /// Encrypts every secret anew under the current key, also beside a running server
    Rekey {
        #[command(flatten)]
        data: DataFlags,
    },
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let actor = Actor::local();
    match arguments.command {
        Command::Init { file } => {
            vault::write_key(&file, &vault::generate())?;
            let id = vault::key_in(&file)?;
            say(&format!(
                "{} holds the new key {id}. Keep a copy of it apart from the data directory and its \
                 backups: without it no secret can be opened.",
                file.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { data } => {
            let report = app::existing(&data.load()?, async |service| {
                service.check_sealed(&actor).await
            })?;
            Ok(tell(&report))
        }
        Command::Rekey { data } => {
            let (count, report) = app::existing(&data.load()?, async |service| {
                let count = service.rekey(&actor).await?;
                Ok((count, service.check_sealed(&actor).await?))
            })?;
            say(&format!("{count} values were encrypted anew"));
            Ok(tell(&report))
        }
    }
}

pub(super) fn tell(report: &SealedReport) -> ExitCode {
    if report.current.is_none() {
        say("there is no master key: secrets.master_key_file");
    }
    for (key, count) in &report.keys {
        let which = if report.current.as_ref() == Some(key) {
            "current"
        } else if report.previous.contains(key) {
            "previous"
        } else {
            "not known here"
        };
        say(&format!("key {key} ({which}): {count} values"));
    }
    for key in report.useless() {
        say(&format!(
            "key {key} is of no use any more: take its file out of secrets.previous_key_files"
        ));
    }
    for (place, why) in &report.broken {
        say(&format!("{place} cannot be opened: {why}"));
    }
    match report.broken.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
