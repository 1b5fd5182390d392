use super::Config;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is read where no file was named.
const USUAL: &str = "wsexec.toml";

/// What is too large to be a configuration, in bytes.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Why a configuration was not taken.
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
        /// What is wrong with its owner or mode, and what to do.
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
    /// A value is out of bounds, wherever it came from.
    #[error("{key}: {message}")]
    Value {
        /// The key with its section, such as `http.listen`.
        key: &'static str,
        /// What is wrong and what is right.
        message: String,
    },
}

/// Reads the file that was named, else `wsexec.toml` where there is one, else nothing. Relative
/// paths stay as they are. Bounds are not checked here, since flags may still change what the file
/// says: see [`Config::validate`].
///
/// # Errors
/// Where a file was named and is not there; where it could be changed by others, or belongs to
/// neither root nor the caller; where a key is unknown or a value does not fit.
pub fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    let path = named.unwrap_or(Path::new(USUAL));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound && named.is_none() => {
            return Ok(Config::default());
        }
        Err(cause) => return Err(read_error(path, cause)),
    };
    check_owner(&file, path)?;
    let mut text = String::new();
    file.take(SIZE_LIMIT)
        .read_to_string(&mut text)
        .map_err(|cause| read_error(path, cause))?;
    parse(&text).map_err(|message| ConfigError::Malformed {
        path: path.to_owned(),
        message,
    })
}

fn read_error(path: &Path, cause: std::io::Error) -> ConfigError {
    ConfigError::Read {
        path: path.to_owned(),
        cause,
    }
}

/// Asks the opened file, so that nobody can exchange it in between.
fn check_owner(file: &File, path: &Path) -> Result<(), ConfigError> {
    let meta = file.metadata().map_err(|cause| read_error(path, cause))?;
    let refuse = |why: String| {
        Err(ConfigError::Unsafe {
            path: path.to_owned(),
            why,
        })
    };
    let (owner, caller) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner != 0 && owner != caller {
        return refuse(format!(
            "it belongs to the user with the id {owner}; it has to belong to you or to root"
        ));
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return refuse(format!(
            "others may write it (mode {mode:04o}): chmod go-w {}",
            path.display()
        ));
    }
    Ok(())
}

/// # Errors
/// The line, the key with its section, and what is wrong.
pub(super) fn parse(text: &str) -> Result<Config, String> {
    let parsed = toml::Deserializer::parse(text).map_err(|error| at_line(text, &error, ""))?;
    serde_path_to_error::deserialize(parsed).map_err(|error| {
        let path = error.path().to_string();
        // A key may be any text, in quotes.
        let path = path.escape_debug().to_string();
        let path = if path == "." { "" } else { &path };
        at_line(text, error.inner(), path)
    })
}

fn at_line(text: &str, error: &toml::de::Error, path: &str) -> String {
    let span = error.span().unwrap_or_default();
    let line = text
        .bytes()
        .take(span.start)
        .filter(|b| *b == b'\n')
        .count()
        + 1;
    // A message of several lines points into the text with its later ones.
    let message = error.message().lines().next().unwrap_or_default();
    match message.strip_prefix("unknown field ") {
        Some(unknown) => {
            // serde's words are: `NAME`, expected one of `A`, `B`
            let (_, known) = unknown.split_once(", ").unwrap_or((unknown, ""));
            format!("line {line}: unknown key `{path}`, {known}")
        }
        None if path.is_empty() => format!("line {line}: {message}"),
        None => format!("line {line}: `{path}`: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wsexec.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn what_the_file_says_wins_over_the_defaults_and_paths_stay_as_they_are() {
        let (_directory, path) = file(
            "data = \"state\"\n[http]\nlisten = \"[::1]:0\"\n[ssh]\nhost_keys = \"strict\"\n",
            0o644,
        );
        let config = load(Some(&path)).unwrap();
        assert_eq!(config.data, Path::new("state"));
        assert_eq!(config.http.listen.to_string(), "[::1]:0");
        assert_eq!(config.ssh.host_keys, super::super::HostKeys::Strict);
        assert_eq!(config.http.head_timeout, 30);
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        let missing = tempfile::tempdir().unwrap().path().join("none.toml");
        let error = load(Some(&missing)).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_what_to_do() {
        for mode in [0o664, 0o646] {
            let (_directory, path) = file("", mode);
            let error = load(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("chmod go-w"), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_section_and_line() {
        let error = parse("data = \"x\"\n\n[http]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n");
        let error = error.unwrap_err();
        assert!(
            error.starts_with("line 5: unknown key `http.lisen`"),
            "{error}"
        );
        let error = parse("[htp]\n").unwrap_err();
        assert!(error.starts_with("line 1: unknown key `htp`"), "{error}");
        let error = parse("tls.certs = 1\n").unwrap_err();
        assert!(
            error.starts_with("line 1: unknown key `tls.certs`"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_key_and_line() {
        for (text, start) in [
            ("[http]\nlisten = \"here\"\n", "line 2: `http.listen`: "),
            (
                "[http]\nhead_timeout = -1\n",
                "line 2: `http.head_timeout`: ",
            ),
            ("[ssh]\nhost_keys = \"none\"\n", "line 2: `ssh.host_keys`: "),
            (
                "[engine]\nmax_running = \"4\"\n",
                "line 2: `engine.max_running`: ",
            ),
            ("[http]\nlisten = \n", "line 2: "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
