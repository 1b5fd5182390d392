use crate::domain::Role;
use serde::Deserialize;
use serde::de::Error as _;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// `[auth.openid]`: a provider that people may log in at.
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

/// An OpenID Connect provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenId {
    /// Its issuer, as its tokens name it; it is asked at `ISSUER/.well-known/openid-configuration`.
    pub issuer: String,
    /// What it knows this service by.
    pub client_id: String,
    /// The file that holds the client's secret (0600).
    pub client_secret_file: PathBuf,
    /// What is asked for beside `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim of the ID token that lists the groups of somebody.
    #[serde(default = "groups")]
    pub groups_claim: String,
    /// Which group has which role; the widest one counts.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleName>,
    /// Whether somebody whom nobody has added becomes a user at the first login.
    #[serde(default)]
    pub create_users: bool,
    /// Certificates (PEM) that the provider's is to be held against; the system's where unset.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn scopes() -> Vec<String> {
    vec!["profile".into(), "email".into()]
}

fn groups() -> String {
    "groups".into()
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
