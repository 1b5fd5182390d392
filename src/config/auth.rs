use super::OpenId;
use crate::domain::Role;
use serde::Deserialize;
use serde::de::Error as _;

/// How people log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Seconds without a request after which a session of the pages ends.
    pub session_idle: u64,
    /// Seconds after which a session of the pages ends in any case.
    pub session_lifetime: u64,
    /// The roles whose users need a second factor to log in with a password.
    pub second_factor: Vec<RoleName>,
    /// `[auth.openid]`: people log in to the pages at an OpenID provider.
    pub openid: Option<OpenId>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            session_idle: 8 * 60 * 60,
            session_lifetime: 7 * 24 * 60 * 60,
            second_factor: Vec::new(),
            openid: None,
        }
    }
}

/// A role by its name: `admin`, `operator`, `runner` or `viewer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleName(pub Role);

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let role = Role::parse(&text);
        let wrong = || D::Error::custom("must be admin, operator, runner or viewer");
        role.map(Self).ok_or_else(wrong)
    }
}
