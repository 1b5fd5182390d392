use super::Failure;
use crate::app;
use std::process::ExitCode;

/// `wsexec demo`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn main(_: Arguments) -> Result<ExitCode, Failure> {
    app::demo()?;
    Ok(ExitCode::SUCCESS)
}
