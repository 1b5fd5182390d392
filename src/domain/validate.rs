use super::{Error, Field, Result};
use std::net::IpAddr;

/// The longest script, in bytes: past that a shell's argument list is full (Linux limits one
/// argument to 131,072 bytes, `MAX_ARG_STRLEN` in execve(2)).
const SCRIPT_MAX: usize = 120_000;
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 4_096;
const USER_MAX: usize = 64;
/// OWASP ASVS 5.0, 6.2.1 and 6.2.9.
const PASSWORD_MIN: usize = 12;
const PASSWORD_MAX: usize = 256;
const SUBJECT_MAX: usize = 511;
/// The longest script that goes to its interpreter as a file, in bytes.
const SCRIPT_FILE_MAX: usize = 4 * 1024 * 1024;
/// The longest standard input, in bytes.
pub const STDIN_MAX: usize = 16 * 1024 * 1024;
const ENV_MAX: usize = 256;
/// Names and values together, in bytes: what a script gets is to leave room for its arguments.
const ENV_BYTES_MAX: usize = 65_536;
/// Each takes one of the few descriptors that any POSIX shell can hand on.
/// The most secrets that a script is given: what descriptors a shell has for them.
pub const SECRETS_MAX: usize = 6;
const PATH_MAX: usize = 4_096;
const INTERPRETER_MAX: usize = 1_024;
const RETRIES_MAX: i64 = 100;
const RETRY_DELAY_MAX: i64 = 24 * 60 * 60;
const TIMEOUT_MAX: i64 = 366 * 24 * 60 * 60;

/// Gathers what is wrong with the fields of one input, so that the caller hears of all at once.
#[derive(Debug, Default)]
pub struct Invalid(Vec<Field>);

impl Invalid {
    /// Notes the field where the check failed.
    pub fn check(&mut self, field: &'static str, outcome: std::result::Result<(), String>) {
        if let Err(message) = outcome {
            self.add(field, message);
        }
    }

    /// Notes that a field is wrong.
    pub fn add(
        &mut self,
        field: impl Into<std::borrow::Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        self.0.push(Field {
            field: field.into(),
            message: message.into(),
        });
    }

    /// Nothing where nothing was noted.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`] with every field that was noted.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::fields(self.0))
        }
    }
}

type Check = std::result::Result<(), String>;

fn require(holds: bool, message: impl Into<String>) -> Check {
    if holds { Ok(()) } else { Err(message.into()) }
}

/// A task's name: 1 to 255 characters, none of them a control character.
///
/// # Errors
/// The sentence for the caller, as for every check here.
pub fn name(text: &str) -> Check {
    require(!text.is_empty(), "must not be empty")?;
    require(
        text.chars().count() <= NAME_MAX,
        format!("must have at most {NAME_MAX} characters"),
    )?;
    require(
        !text.chars().any(char::is_control),
        "must not hold control characters",
    )
}

/// A description: up to 4,096 characters; of the control characters only tab and line ends.
pub fn tag(text: &str) -> Check {
    require(
        text.chars().count() <= TAG_MAX,
        format!("must have at most {TAG_MAX} characters"),
    )?;
    require(
        !text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')),
        "must not hold control characters",
    )
}

/// A script: 1 to 120,000 bytes, no NUL.
pub fn script(text: &str) -> Check {
    require(!text.is_empty(), "must not be empty")?;
    require(
        text.len() <= SCRIPT_MAX,
        format!(
            "has {} bytes; at most {SCRIPT_MAX} fit in an argument list (a longer one needs an interpreter)",
            text.len()
        ),
    )?;
    require(!text.contains('\0'), "must not hold a NUL character")
}

/// A script that its interpreter reads from a file: 1 to 4,194,304 bytes, no NUL.
pub fn script_file(text: &str) -> Check {
    require(!text.is_empty(), "must not be empty")?;
    require(
        text.len() <= SCRIPT_FILE_MAX,
        format!("must have at most {SCRIPT_FILE_MAX} bytes"),
    )?;
    require(!text.contains('\0'), "must not hold a NUL character")
}

/// A standard input: up to 16 MiB.
pub fn stdin(bytes: &[u8]) -> Check {
    require(
        bytes.len() <= STDIN_MAX,
        format!("has {} bytes; at most {STDIN_MAX} are taken", bytes.len()),
    )
}

/// Environment variables: up to 256, names as a shell takes them (POSIX 2024 XBD 3.216), values
/// without NUL, 65,536 bytes in all.
pub fn env(variables: &[(String, String)]) -> Check {
    require(
        variables.len() <= ENV_MAX,
        format!("must have at most {ENV_MAX} variables"),
    )?;
    let bytes: usize = variables.iter().map(|(n, v)| n.len() + v.len() + 2).sum();
    require(
        bytes <= ENV_BYTES_MAX,
        format!("must have at most {ENV_BYTES_MAX} bytes in all"),
    )?;
    for (name, value) in variables {
        variable(name)?;
        require(
            !value.contains('\0'),
            format!("{name} must not hold a NUL character"),
        )?;
    }
    Ok(())
}

/// Secrets by the names that scripts have for them: up to 6, names as those of variables, each
/// once.
pub fn secrets(secrets: &[(String, String)]) -> Check {
    require(
        secrets.len() <= SECRETS_MAX,
        format!("must have at most {SECRETS_MAX} secrets"),
    )?;
    for (place, (name, identity)) in secrets.iter().enumerate() {
        variable(name)?;
        let again = secrets[..place].iter().any(|(before, _)| before == name);
        require(!again, format!("{name} is there twice"))?;
        reference(identity).map_err(|wrong| format!("{name} {wrong}"))?;
    }
    Ok(())
}

fn variable(name: &str) -> Check {
    let mut characters = name.chars();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let named = characters.next().is_some_and(first)
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    require(
        named,
        format!("{name:?} is no name of a variable: letters, digits and _ only, no digit first"),
    )
}

/// A path on a machine: 1 to 4,096 bytes without control characters.
pub fn path(text: &str) -> Check {
    line(text, PATH_MAX)
}

/// An interpreter and its arguments: 1 to 1,024 bytes without control characters.
pub fn interpreter(text: &str) -> Check {
    require(!text.trim().is_empty(), "must not be empty")?;
    line(text, INTERPRETER_MAX)
}

fn line(text: &str, most: usize) -> Check {
    require(!text.is_empty(), "must not be empty")?;
    require(
        text.len() <= most,
        format!("must have at most {most} bytes"),
    )?;
    require(
        !text.chars().any(char::is_control),
        "must not hold control characters",
    )
}

/// A name that the configuration gives to something: 1 to 64 letters, digits and `. _ -`.
pub fn reference(text: &str) -> Check {
    account(text, "._-")
}

/// How often a run that could not begin is tried again: 0 to 100 times.
pub fn retries(count: i64) -> Check {
    require(
        (0..=RETRIES_MAX).contains(&count),
        format!("must be from 0 to {RETRIES_MAX}"),
    )
}

/// How long until it is tried again, in seconds: up to a day.
pub fn retry_delay(seconds: i64) -> Check {
    require(
        (0..=RETRY_DELAY_MAX).contains(&seconds),
        format!("must be from 0 to {RETRY_DELAY_MAX} seconds"),
    )
}

/// A user to log in as: 1 to 64 letters, digits and `. _ @ + - $ \`, not beginning with `-`, so
/// that it can never be read as an option.
pub fn login_user(text: &str) -> Check {
    account(text, "._@+-$\\")
}

/// A user of this service: as [`login_user`], without `$` and `\`. There is no colon in it, which
/// HTTP basic could not carry (RFC 7617 section 2).
pub fn username(text: &str) -> Check {
    account(text, "._@+-")
}

fn account(text: &str, also: &str) -> Check {
    require(!text.is_empty(), "must not be empty")?;
    require(
        text.len() <= USER_MAX,
        format!("must have at most {USER_MAX} characters"),
    )?;
    let marks = also.chars().map(String::from).collect::<Vec<_>>().join(" ");
    require(
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || also.contains(c)),
        format!("may hold letters, digits and {marks} only"),
    )?;
    require(!text.starts_with('-'), "must not begin with -")
}

/// Who somebody is at an OpenID provider: 1 to 511 visible ASCII characters, since it is at most 255
/// of the subject (OpenID Connect Core 1.0 section 2), as many of its issuer, and a `#` between them.
pub fn subject(text: &str) -> Check {
    require(
        (1..=SUBJECT_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
        format!("must have 1 to {SUBJECT_MAX} visible ASCII characters"),
    )
}

/// A password to be: 12 to 256 characters, whatever they are but control characters, which HTTP
/// basic cannot carry (RFC 7617 section 2).
pub fn new_password(text: &str) -> Check {
    let length = text.chars().count();
    require(
        (PASSWORD_MIN..=PASSWORD_MAX).contains(&length),
        format!("must have {PASSWORD_MIN} to {PASSWORD_MAX} characters"),
    )?;
    require(
        !text.chars().any(char::is_control),
        "must not hold control characters",
    )
}

/// An IPv4 or IPv6 address, or a host name (RFC 1123 section 2.1: labels of 1 to 63 letters,
/// digits and inner hyphens, 253 in all, the last label not a number).
pub fn host(text: &str) -> Check {
    const MESSAGE: &str = "must be an IPv4 address, an IPv6 address or a host name";
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    // Resolvers take such a name, and one in hexadecimal, for an address (inet_aton(3)).
    let number = |l: &str| match l.strip_prefix("0x").or_else(|| l.strip_prefix("0X")) {
        Some(hexadecimal) => hexadecimal.bytes().all(|b| b.is_ascii_hexdigit()),
        None => l.bytes().all(|b| b.is_ascii_digit()),
    };
    let last_is_number = text.rsplit('.').next().is_none_or(number);
    require(
        text.len() <= 253 && text.split('.').all(label) && !last_is_number,
        MESSAGE,
    )
}

/// A TCP port: 1 to 65,535.
pub fn port(number: i64) -> Check {
    require(
        (1..=65_535).contains(&number),
        "must be a port from 1 to 65535",
    )
}

/// A deadline for a whole run, in seconds: 1 to 366 days.
pub fn timeout(seconds: i64) -> Check {
    require(
        (1..=TIMEOUT_MAX).contains(&seconds),
        format!("must be from 1 to {TIMEOUT_MAX} seconds"),
    )
}

/// An `Idempotency-Key`: 1 to 128 visible ASCII characters.
pub fn idempotency_key(text: &str) -> Check {
    require(
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
        "must have 1 to 128 visible ASCII characters",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names_and_nothing_else() {
        for good in [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "localhost",
            "a.b-c.example",
            "1host.example",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a_b",
            "256.1.1.1",
            "1.2.3",
            "0x7f000001",
            "a..b",
            ".",
            "a.",
            "host:22",
            "[::1]",
            "u@h",
            "a\nb",
            "é",
            &long,
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn login_users_cannot_be_read_as_options() {
        for good in ["root", "antoine", "DOMAIN\\user", "svc$", "a.b_c@d+e-f"] {
            assert_eq!(login_user(good), Ok(()), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "-oProxyCommand=x",
            "a\nb",
            "a b",
            "a;b",
            "é",
            "a/b",
            "a\0",
            &long,
        ] {
            assert!(login_user(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scripts_fit_in_one_argument() {
        assert_eq!(script(&"x".repeat(120_000)), Ok(()));
        assert!(script(&"x".repeat(120_001)).is_err());
        assert!(script("").is_err());
        assert!(script("a\0b").is_err());
    }
}
