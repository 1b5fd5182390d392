use super::Failure;
use super::settings::ServerFlags;
use crate::app;
use std::process::ExitCode;

/// `wsexec serve`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: ServerFlags,
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    app::serve(arguments.flags.load()?)?;
    Ok(ExitCode::SUCCESS)
}
