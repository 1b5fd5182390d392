use super::Failure;
use crate::app;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// `wsexec demo`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// What the demo's SSH server starts for each connection.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionArguments {
    /// Where its keys are
    dir: PathBuf,
}

/// What the demo's SSH server starts for each script.
#[derive(Debug, clap::Args)]
pub(super) struct ExecArguments {
    /// The script
    #[arg(allow_hyphen_values = true)]
    command: OsString,
}

pub(super) fn main(_: Arguments) -> Result<ExitCode, Failure> {
    app::demo()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn connection(arguments: ConnectionArguments) -> Result<ExitCode, Failure> {
    app::demo_connection(&arguments.dir)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn exec(arguments: ExecArguments) -> Result<ExitCode, Failure> {
    app::demo_exec(&arguments.command)?;
    Ok(ExitCode::SUCCESS)
}
