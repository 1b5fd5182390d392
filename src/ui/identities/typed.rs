use crate::domain::{
    Error, Field, Identity, IdentityChange, IdentityKind, NewIdentity, Result, Scope, Secret,
    SecretValues,
};
use crate::ui::form::lines;
use crate::ui::kept;
use serde::Deserialize;

/// A form as it was typed; what is secret of it is never shown again.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    pub version: String,
    pub name: String,
    pub kind: String,
    pub scope: String,
    pub host_keys: String,
    value: String,
    passphrase: String,
    /// Names of secrets that were typed and not kept; see [`crate::ui::kept`].
    dropped: String,
}

/// What is wrong with a form so far.
#[derive(Default)]
struct Wrong(Vec<Field>);

impl Wrong {
    fn note(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(Field {
            field: field.into(),
            message: message.into(),
        });
    }

    fn or<T>(self, good: T) -> Result<T> {
        match self.0.is_empty() {
            true => Ok(good),
            false => Err(Error::fields(self.0)),
        }
    }
}

impl Typed {
    /// What an identity is for, as a form begins with it.
    pub fn of(identity: &Identity) -> Self {
        Self {
            version: identity.version.to_string(),
            scope: identity.scope.rules().join("\n"),
            host_keys: identity.host_keys.join("\n"),
            ..Self::default()
        }
    }

    /// What is to be made.
    ///
    /// # Errors
    /// `Invalid`, naming each field that is wrong.
    pub fn new_identity(&self) -> Result<NewIdentity> {
        let mut wrong = Wrong::default();
        let kind = IdentityKind::parse(&self.kind).unwrap_or_else(|| {
            wrong.note("kind", "must be chosen");
            IdentityKind::SshKey
        });
        let new = NewIdentity {
            name: self.name.trim().to_owned(),
            kind,
            scope: self.scope(&mut wrong),
            host_keys: self.host_keys(),
            values: self.values(&mut wrong),
        };
        wrong.or(new)
    }

    /// What is to change: the form has all of what it is for, and the secret stays where none was
    /// typed.
    ///
    /// # Errors
    /// `Invalid`, naming each field that is wrong.
    pub fn change(&self) -> Result<IdentityChange> {
        let mut wrong = Wrong::default();
        if let Some(message) = kept::is_missing(&self.dropped, &self.value) {
            wrong.note("value", message);
        }
        let change = IdentityChange {
            scope: Some(self.scope(&mut wrong)),
            host_keys: Some(self.host_keys()),
            values: self.values(&mut wrong),
        };
        wrong.or(change)
    }

    fn scope(&self, wrong: &mut Wrong) -> Scope {
        Scope::parse(self.scope.split_whitespace()).unwrap_or_else(|message| {
            wrong.note("scope", message);
            Scope::default()
        })
    }

    fn host_keys(&self) -> Vec<String> {
        self.host_keys.split_whitespace().map(Into::into).collect()
    }

    fn values(&self, wrong: &mut Wrong) -> Option<SecretValues> {
        let given = |typed: &String| Some(Secret::new(lines(typed))).filter(|_| !typed.is_empty());
        let (value, passphrase) = (given(&self.value), given(&self.passphrase));
        if value.is_none() && passphrase.is_some() {
            wrong.note("value", "is required with a passphrase");
        }
        value.map(|value| SecretValues { value, passphrase })
    }
}
