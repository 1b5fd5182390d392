//! What forms share: reading what was typed, and saying what is wrong beside the field.

use crate::domain::{Error, Field, Kind, Result};
use crate::http;
use crate::service::{Idempotency, IfMatch};
use poem::http::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A form with nothing in it but its token.
#[derive(Deserialize)]
pub struct Empty {}

/// What is wrong with a form that was sent.
#[derive(Default)]
pub struct Problems {
    /// What is wrong with single fields.
    pub fields: Vec<Wrong>,
    /// What no single field is to blame for.
    pub general: Option<Problem>,
}

/// What is wrong with a field.
pub struct Wrong {
    field: String,
    /// What follows its label in a sentence.
    pub message: String,
}

/// What a sentence calls a field, and the element that it is about.
struct Known {
    field: &'static str,
    label: &'static str,
    element: &'static str,
}

const fn known(field: &'static str, label: &'static str) -> Known {
    Known {
        field,
        label,
        element: field,
    }
}

const KNOWN: [Known; 43] = [
    known("again", "The repetition"),
    Known {
        element: "become_user",
        ..known("become", "The other user")
    },
    known("become_method", "The program for that"),
    known("become_password", "The name of its password"),
    known("become_user", "The other user"),
    known("code", "The code"),
    known("cwd", "The directory"),
    known("days", "The expiry"),
    known("env", "The environment"),
    known("expires", "The expiry"),
    known("host_keys", "The fingerprints"),
    known("identity", "The identity"),
    known("instance", "The instance"),
    known("interpreter", "The interpreter"),
    known("ip", "The address"),
    known("jump", "The jump"),
    known("jump_user", "The user on the jump"),
    known("kind", "The kind"),
    known("labels", "The labels"),
    known("mode", "The mode"),
    known("name", "The name"),
    known("new", "The new password"),
    known("old", "The current password"),
    known("passphrase", "The passphrase"),
    known("password", "The password"),
    known("port", "The port"),
    known("pty", "The terminal"),
    known("rc", "The exit code"),
    known("retries", "The number of retries"),
    known("retry_delay", "The time"),
    known("role", "The role"),
    known("scope", "The scope"),
    known("script", "The script"),
    known("secrets", "Secrets:"),
    known("state", "The state"),
    known("stderr", "The standard error"),
    known("stdin", "The standard input"),
    known("stdout", "The standard output"),
    known("subject", "The subject"),
    known("tag", "The description"),
    known("timeout", "The time limit"),
    known("user", "The user"),
    known("value", "The secret"),
];

/// What a sentence calls a field: its own name where no page has it.
pub fn label(field: &str) -> &str {
    let found = KNOWN.iter().find(|it| it.field == field);
    found.map_or(field, |it| it.label)
}

impl Wrong {
    /// What a sentence calls the field.
    pub fn label(&self) -> &str {
        label(&self.field)
    }

    /// The id of its element, where a page has one.
    pub fn place(&self) -> Option<&'static str> {
        let found = KNOWN.iter().find(|it| it.field == self.field);
        found.map(|it| it.element)
    }
}

/// What no single field is to blame for.
pub enum Problem {
    /// Somebody else was faster; nothing was saved.
    Changed,
    /// The form was sent before with another content.
    Reused,
    /// The sentence says it.
    Other(String),
}

impl Problems {
    /// What the form can say of an error, with the answer's status.
    ///
    /// # Errors
    /// The error itself, where it is not about the form.
    pub fn of(error: Error) -> Result<(StatusCode, Self)> {
        let status = http::status(error.kind());
        let general = match error.kind() {
            Kind::Invalid | Kind::Forbidden if !error.invalid_fields().is_empty() => None,
            Kind::PreconditionFailed => Some(Problem::Changed),
            Kind::KeyReused => Some(Problem::Reused),
            Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::TooMany | Kind::Unavailable => {
                Some(Problem::Other(error.detail().to_owned()))
            }
            Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::Unconfirmed
            | Kind::MethodNotAllowed
            | Kind::Timeout
            | Kind::TooLarge
            | Kind::HeadTooLarge
            | Kind::UnsupportedMediaType
            | Kind::RangeNotSatisfiable
            | Kind::Internal => return Err(error),
        };
        let of = |it: &Field| Wrong {
            field: it.field.to_string(),
            message: it.message.clone(),
        };
        let fields = error.invalid_fields().iter().map(of).collect();
        Ok((status, Self { fields, general }))
    }

    /// What is wrong with a field.
    pub fn with(&self, field: &str) -> Option<&Wrong> {
        self.fields.iter().find(|it| it.field == field)
    }

    /// Whether anything is wrong.
    pub fn any(&self) -> bool {
        self.general.is_some() || !self.fields.is_empty()
    }
}

/// A number that was typed, or nothing where the field was left empty.
///
/// # Errors
/// The sentence to show beside the field.
pub fn number<T: std::str::FromStr>(typed: &str) -> std::result::Result<Option<T>, String> {
    match typed.trim() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| "must be a whole number".to_owned()),
    }
}

/// Text from a text area with the line ends of a Unix machine: browsers send CR LF (HTML, "value
/// sanitization" and form submission), which a shell takes for a part of the last word.
pub fn lines(typed: &str) -> String {
    typed.replace("\r\n", "\n")
}

/// What makes a form that is sent twice one request: its hidden key, and a hash of what it says.
///
/// # Errors
/// `Invalid` where the key is not one that we gave.
pub fn once(key: &str, says: &[&str]) -> Result<Idempotency> {
    crate::domain::idempotency_key(key).map_err(|message| Error::field("key", message))?;
    let mut hash = Sha256::new();
    for part in says {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(Idempotency {
        key: key.to_owned(),
        fingerprint: hash.finalize().into(),
    })
}

/// The condition that a hidden version stands for: what is no version matches nothing.
pub fn if_version(hidden: &str) -> IfMatch {
    IfMatch::Versions(hidden.parse().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_has_one_fingerprint_and_another_has_another() {
        let of = |says: &[&str]| once("k", says).expect("a good key").fingerprint;
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["ab", ""]), of(&["a", "b"]));
        assert!(once("", &[]).is_err());
    }
}
