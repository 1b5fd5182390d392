//! What the bodies about users and their tokens can say.

use super::change::{Fixed, id, require_same_id};
use super::input::{FromJson, Input, Members, Nullable};
use super::user_json::UserJson;
use super::word::OneOf;
use crate::domain::{
    self, Expiry, Invalid, NewUser, Result, Role, Scope, Secret, TokenRequest, UserChange,
};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

/// The rules of a scope.
impl FromJson for Scope {
    fn expected() -> String {
        "a list of rules LOGIN@INSTANCES, such as [\"deploy@web-*\", \"!root@*\"]".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        let Value::Array(rules) = value else {
            return None;
        };
        let rules: Option<Vec<&str>> = rules.iter().map(Value::as_str).collect();
        Scope::parse(rules?).ok()
    }
}

impl FromJson for Secret {
    fn expected() -> String {
        "a string".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        String::from_json(value).map(Secret::new)
    }
}

/// A secret that has to be there.
fn need_secret(members: &mut Members, name: &'static str) -> Secret {
    if !members.has(name) {
        members.wrong(name, "is required");
    }
    members.take(name).unwrap_or_else(|| Secret::new(""))
}

/// What is needed to add a user.
#[derive(Object)]
#[oai(rename = "NewUser", example, skip_serializing_if_is_none)]
pub struct NewUserBody {
    /// The login name: 1 to 64 letters, digits and `. _ @ + -`, not beginning with `-`.
    name: String,
    /// What they may do.
    role: OneOf<Role>,
    /// On what: rules `LOGIN@INSTANCES`, where a `!` forbids; everything unless given.
    scope: Option<Vec<String>>,
    /// 12 to 256 characters that are hard to guess; none for who logs in by other means.
    password: Option<String>,
    /// Who they are at the OpenID provider.
    #[oai(nullable)]
    subject: Option<String>,
}

impl Example for NewUserBody {
    fn example() -> Self {
        Self {
            name: "antoine".into(),
            role: OneOf(Role::Runner),
            scope: Some(vec!["deploy@web-*".into()]),
            password: None,
            subject: None,
        }
    }
}

impl Input for NewUser {
    type Schema = NewUserBody;

    fn read(mut members: Members) -> Result<Self> {
        if !members.has("role") {
            members.wrong("role", "is required");
        }
        let role = members.take::<OneOf<Role>>("role");
        let new = Self {
            name: members.need("name"),
            role: role.map_or(Role::Viewer, |it| it.0),
            scope: members.take("scope").unwrap_or_default(),
            password: members.take("password"),
            subject: subject(&mut members).flatten(),
        };
        members.finish(new, |new| {
            let mut wrong = Invalid::default();
            wrong.check("name", domain::username(&new.name));
            check(&mut wrong, new.password.as_ref(), new.subject.as_ref());
            wrong.finish()
        })
    }
}

fn subject(members: &mut Members) -> Option<Option<String>> {
    let Nullable(subject) = members.take::<Nullable<String>>("subject")?;
    Some(subject)
}

/// The rules of the domain for what is new.
fn check(wrong: &mut Invalid, password: Option<&Secret>, subject: Option<&String>) {
    if let Some(password) = password {
        wrong.check("password", domain::new_password(password.expose()));
    }
    if let Some(subject) = subject {
        wrong.check("subject", domain::subject(subject));
    }
}

/// A partial update of a user: what is left out stays as it is. All but `password` may be sent back
/// as it was read.
#[derive(Object)]
#[oai(rename = "UserChange", example, skip_serializing_if_is_none)]
pub struct UserChangeBody {
    /// What they may do from now on.
    role: Option<OneOf<Role>>,
    /// On what, instead of all rules that there were.
    scope: Option<Vec<String>>,
    /// Whether they may not log in from now on.
    disabled: Option<bool>,
    /// Who they are at the OpenID provider; null for nobody.
    #[oai(nullable)]
    subject: Option<String>,
    /// A new password.
    password: Option<String>,
}

impl Example for UserChangeBody {
    fn example() -> Self {
        Self {
            role: Some(OneOf(Role::Operator)),
            scope: None,
            disabled: Some(false),
            subject: None,
            password: None,
        }
    }
}

/// What a PUT on a user says.
pub struct UserPut {
    id: Option<i64>,
    change: UserChange,
    password: Option<Secret>,
    fixed: Fixed,
}

impl UserPut {
    /// Whether the user has to be looked at before this can be done.
    pub fn has_fixed(&self) -> bool {
        !self.fixed.is_empty()
    }

    /// What is to be done to user `id`.
    ///
    /// # Errors
    /// A conflict where it names a member that may not change, with another value than `present`.
    pub fn onto(self, id: i64, present: Option<&UserJson>) -> Result<(UserChange, Option<Secret>)> {
        require_same_id(self.id, id)?;
        if let Some(present) = present {
            self.fixed.require_unchanged(present, &[])?;
        }
        Ok((self.change, self.password))
    }
}

impl Input for UserPut {
    type Schema = UserChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        // Whether there is one, as it was read, or the new one.
        let told = members.take_raw("password");
        let password = told.filter(|it| !it.is_boolean());
        if password.as_ref().is_some_and(|it| !it.is_string()) {
            members.wrong("password", "must be a string");
        }
        let put = Self {
            id: id(&mut members),
            change: UserChange {
                role: members.take::<OneOf<Role>>("role").map(|it| it.0),
                scope: members.take("scope"),
                disabled: members.take("disabled"),
                subject: subject(&mut members),
            },
            password: password.and_then(Secret::from_json),
            fixed: Fixed::take(&mut members, &["uri", "name", "second_factor", "created"]),
        };
        members.finish(put, |put| {
            let mut wrong = Invalid::default();
            let subject = put.change.subject.as_ref().and_then(Option::as_ref);
            check(&mut wrong, put.password.as_ref(), subject);
            wrong.finish()
        })
    }
}

/// One's own password, and what it is to be.
#[derive(Object)]
#[oai(rename = "PasswordChange", example)]
pub struct PasswordChangeBody {
    /// The password as it is.
    old: String,
    /// The new one: 12 to 256 characters that are hard to guess.
    new: String,
}

impl Example for PasswordChangeBody {
    fn example() -> Self {
        Self {
            old: "what it was until now".into(),
            new: "what it is to be from now on".into(),
        }
    }
}

/// What a PUT on one's own password says.
pub struct PasswordPut {
    /// The password as it is.
    pub old: Secret,
    /// The new one.
    pub new: Secret,
}

impl Input for PasswordPut {
    type Schema = PasswordChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        let put = Self {
            old: need_secret(&mut members, "old"),
            new: need_secret(&mut members, "new"),
        };
        members.finish(put, |put| {
            let mut wrong = Invalid::default();
            wrong.check("new", domain::new_password(put.new.expose()));
            wrong.finish()
        })
    }
}

/// What is needed to make an API token.
#[derive(Object)]
#[oai(rename = "NewToken", example, skip_serializing_if_is_none)]
pub struct NewTokenBody {
    /// What it is for: 1 to 255 characters, and no other token of yours has it.
    name: String,
    /// What it may do at most: no more than you; as much unless given.
    role: Option<OneOf<Role>>,
    /// On what at most: no more than you; as much unless given.
    scope: Option<Vec<String>>,
    /// From when on it is of no use, Unix seconds: within 366 days.
    expires: Option<i64>,
    /// The same in seconds from now; 90 days unless either is given.
    expires_in: Option<i64>,
}

impl Example for NewTokenBody {
    fn example() -> Self {
        Self {
            name: "ci".into(),
            role: Some(OneOf(Role::Runner)),
            scope: Some(vec!["deploy@web-*".into()]),
            expires: None,
            expires_in: Some(30 * 24 * 60 * 60),
        }
    }
}

impl Input for TokenRequest {
    type Schema = NewTokenBody;

    fn read(mut members: Members) -> Result<Self> {
        let (at, within) = (members.take("expires"), members.take("expires_in"));
        if at.is_some() && within.is_some() {
            members.wrong("expires_in", "cannot be given beside expires");
        }
        let request = Self {
            name: members.need("name"),
            role: members.take::<OneOf<Role>>("role").map(|it| it.0),
            scope: members.take("scope").unwrap_or_default(),
            expires: at.map(Expiry::At).or(within.map(Expiry::In)),
        };
        members.finish(request, |request| {
            let mut wrong = Invalid::default();
            wrong.check("name", domain::name(&request.name));
            wrong.finish()
        })
    }
}
