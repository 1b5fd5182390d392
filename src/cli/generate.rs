//! What is made from the definition of the command line: completions and manual pages.

use super::{Arguments as CommandLine, Failure};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// `wsexec completions`
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// For which shell
    shell: Shell,
}

/// `wsexec man`
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Where the pages go, one for each command
    directory: PathBuf,
}

/// The command line without what is hidden.
fn shown() -> Command {
    let all = CommandLine::command();
    let shown = all.get_subcommands().filter(|it| !it.is_hide_set());
    Command::new("wsexec")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .subcommands(shown.cloned())
}

/// Writes the completions to stdout.
pub fn completions(arguments: Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown(), "wsexec", &mut script);
    // As in `say`: where nobody reads it any more, there is nobody to tell.
    let _ = io::stdout().write_all(&script);
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages.
pub fn man(arguments: Man) -> Result<ExitCode, Failure> {
    let directory = arguments.directory;
    let written = std::fs::create_dir_all(&directory)
        .and_then(|()| clap_mangen::generate_to(shown(), &directory));
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(format!(
            "cannot write the manual pages to {}: {error}",
            directory.display()
        ))),
    }
}
