use super::settings::ServerFlags;
use super::{Failure, say};
use crate::app;
use std::process::ExitCode;

/// `wsexec check`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: ServerFlags,
}

/// One line for each part, and exit code 1 where one of them is not usable.
pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = match arguments.flags.load() {
        Ok(config) => config,
        Err(failure) => {
            say(&format!("FAIL config: {failure}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    say("ok   config");
    let mut all_usable = true;
    for part in app::check(&config) {
        match part.verdict {
            Ok(found) => println!("ok   {}: {found}", part.name),
            Err(advice) => {
                all_usable = false;
                say(&format!("FAIL {}: {advice}", part.name));
            }
        }
    }
    Ok(if all_usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
