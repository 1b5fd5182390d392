//! What the bodies about identities can say.

use super::input::{FromJson, Input, Members, Nullable};
use super::word::OneOf;
use crate::domain::{
    Error, IdentityChange, IdentityKind, NewIdentity, Result, Scope, Secret, SecretValues,
};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

/// What is needed to make an identity.
#[derive(Object)]
#[oai(rename = "NewIdentity", example, skip_serializing_if_is_none)]
pub struct NewIdentityBody {
    /// What it is referred to by: 1 to 64 letters, digits and `. _ -`.
    name: String,
    /// What it is.
    kind: OneOf<IdentityKind>,
    /// The secret, 8 bytes to 64 KiB: a private key, a password, a value for scripts. A key is made
    /// in the server where it is left out.
    value: Option<String>,
    /// What opens the key, where it is encrypted.
    #[oai(nullable)]
    passphrase: Option<String>,
    /// For which login users on which instances it may be used, as rules `LOGIN@INSTANCES`; for all
    /// unless given.
    scope: Option<Vec<String>>,
    /// The fingerprints of the host keys of the machines that may be told it; any machine of the
    /// scope unless given.
    host_keys: Option<Vec<String>>,
}

impl Example for NewIdentityBody {
    fn example() -> Self {
        Self {
            name: "deploy".into(),
            kind: OneOf(IdentityKind::SshKey),
            value: None,
            passphrase: None,
            scope: Some(vec!["deploy@web-*".into()]),
            host_keys: None,
        }
    }
}

/// A partial update of an identity: what is left out stays as it is.
#[derive(Object)]
#[oai(rename = "IdentityChange", example, skip_serializing_if_is_none)]
pub struct IdentityChangeBody {
    /// Another secret of the same kind.
    value: Option<String>,
    /// What opens it, where it is an encrypted key.
    #[oai(nullable)]
    passphrase: Option<String>,
    /// Another scope.
    scope: Option<Vec<String>>,
    /// Other host keys.
    host_keys: Option<Vec<String>>,
}

impl Example for IdentityChangeBody {
    fn example() -> Self {
        Self {
            value: None,
            passphrase: None,
            scope: Some(vec!["deploy@env=prod".into()]),
            host_keys: None,
        }
    }
}

/// Texts in an array.
struct List(Vec<String>);

impl FromJson for List {
    fn expected() -> String {
        "an array of strings".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        let Value::Array(items) = value else {
            return None;
        };
        items
            .into_iter()
            .map(String::from_json)
            .collect::<Option<_>>()
            .map(Self)
    }
}

fn scope(members: &mut Members) -> Option<Scope> {
    let List(rules) = members.take("scope")?;
    match Scope::parse(rules.iter().map(String::as_str)) {
        Ok(scope) => Some(scope),
        Err(why) => {
            members.wrong("scope", why);
            None
        }
    }
}

fn values(members: &mut Members) -> Option<SecretValues> {
    let value = members.take::<String>("value").map(Secret::new);
    let passphrase = members.take::<Nullable<String>>("passphrase");
    let passphrase = passphrase.and_then(|it| it.0).map(Secret::new);
    if value.is_none() && passphrase.is_some() {
        members.wrong("value", "is required with a passphrase");
    }
    Some(SecretValues {
        value: value?,
        passphrase,
    })
}

impl Input for NewIdentity {
    type Schema = NewIdentityBody;

    fn read(mut members: Members) -> Result<Self> {
        let kind = members.take::<OneOf<IdentityKind>>("kind");
        if kind.is_none() {
            members.wrong("kind", "is required");
        }
        let new = Self {
            name: members.need("name"),
            kind: kind.map_or(IdentityKind::SshKey, |it| it.0),
            values: values(&mut members),
            scope: scope(&mut members).unwrap_or_default(),
            host_keys: members
                .take("host_keys")
                .map_or_else(Vec::new, |List(it)| it),
        };
        members.finish(new, Self::validate)
    }
}

/// What a PUT on an identity says.
pub struct IdentityPut(IdentityChange);

impl IdentityPut {
    /// What is to change of an identity of this kind.
    ///
    /// # Errors
    /// `Invalid`, naming every member that is wrong.
    pub fn of(self, kind: IdentityKind) -> Result<IdentityChange, Error> {
        self.0.validate(kind)?;
        Ok(self.0)
    }
}

impl Input for IdentityPut {
    type Schema = IdentityChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        let change = IdentityChange {
            values: values(&mut members),
            scope: scope(&mut members),
            host_keys: members.take("host_keys").map(|List(it)| it),
        };
        members.finish(Self(change), |_| Ok(()))
    }
}
