use super::terminal::sentence;
use crate::config::ConfigError;
use crate::domain;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Why a subcommand failed: the sentence for stderr and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It failed, with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// With another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Nothing is said: whoever would read it has gone.
    pub fn quiet(code: u8) -> Self {
        Self {
            message: String::new(),
            code,
        }
    }

    /// Says it on stderr and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            let said = self.to_string();
            let said = match std::io::stderr().is_terminal() {
                true => sentence(&said),
                false => said,
            };
            eprintln!("wsexec: {said}");
        }
        ExitCode::from(self.code)
    }
}

impl From<domain::Error> for Failure {
    /// With the cause: whoever runs the command line owns the data directory.
    fn from(error: domain::Error) -> Self {
        let mut message = error.detail().to_owned();
        let mut cause: Option<&dyn std::error::Error> = error.cause().map(|c| c as _);
        while let Some(error) = cause {
            // Writing to a String does not fail.
            let _ = write!(message, "\n  because: {error}");
            cause = error.source();
        }
        Self::new(message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string())
    }
}
