use super::validate::{is_loopback, wrong};
use super::{ConfigError, RoleName};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use url::Url;

/// The longest issuer and client id, in bytes.
const LONGEST: usize = 255;
/// The most scopes that are asked for, and groups that have a role.
const MOST: usize = 1000;

/// An OpenID provider, and what its users may do here.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenId {
    /// What the provider calls itself, such as `https://login.example`; its metadata is below that.
    pub issuer: String,
    /// As what WSEXEC is registered there.
    pub client_id: String,
    /// The file that holds the client's secret (0600); none for a public client.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim of the ID token that holds the groups.
    pub groups_claim: String,
    /// The role of each group that has one: who is in several gets the widest.
    pub roles: BTreeMap<String, RoleName>,
    /// Whether a user is made of who logs in for the first time.
    pub create_users: bool,
    /// Whether each login there has asked for a second factor, whatever the ID token says.
    pub trust_second_factor: bool,
    /// The certificates of who issues the provider's, PEM, beside those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// What the login page calls it.
    pub name: String,
}

impl Default for OpenId {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret_file: None,
            scopes: vec!["openid".into(), "profile".into()],
            groups_claim: "groups".into(),
            roles: BTreeMap::new(),
            create_users: false,
            trust_second_factor: false,
            ca_file: None,
            name: "OpenID".into(),
        }
    }
}

impl OpenId {
    /// # Errors
    /// [`ConfigError::Value`] with the key of the first value that cannot be used.
    pub(super) fn validate(&self, has_public_url: bool) -> Result<(), ConfigError> {
        if !has_public_url {
            return wrong(
                "http.public_url",
                "auth.openid needs it: the provider sends browsers back to that address",
            );
        }
        if !self.has_good_issuer() {
            return wrong(
                "auth.openid.issuer",
                "it has to be an https:// address without a query, as the provider itself writes it",
            );
        }
        let visible = |text: &String| {
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !visible(&self.client_id) {
            return wrong(
                "auth.openid.client_id",
                "it has to be what the provider has registered WSEXEC as",
            );
        }
        let asks_openid = self.scopes.iter().any(|scope| scope == "openid");
        if !asks_openid || self.scopes.len() > MOST || !self.scopes.iter().all(visible) {
            return wrong("auth.openid.scopes", "openid has to be among them");
        }
        if self.roles.len() > MOST || self.roles.keys().any(String::is_empty) {
            return wrong("auth.openid.roles", "each group needs a name");
        }
        if self.create_users && self.roles.is_empty() {
            return wrong(
                "auth.openid.roles",
                "auth.openid.create_users needs it: it says which group has which role",
            );
        }
        let length = self.name.chars().count();
        if !(1..=64).contains(&length) || self.name.chars().any(char::is_control) {
            return wrong("auth.openid.name", "it has to have 1 to 64 characters");
        }
        Ok(())
    }

    /// Plain HTTP is for a provider on this machine alone.
    fn has_good_issuer(&self) -> bool {
        let Ok(url) = Url::parse(&self.issuer) else {
            return false;
        };
        let bare = url.query().is_none() && url.fragment().is_none();
        let open = url.username().is_empty() && url.password().is_none();
        let sent_safely = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        let short = self.issuer.len() <= LONGEST && self.issuer.is_ascii();
        url.has_host() && bare && open && sent_safely && short
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Auth, Config};

    fn refused(more: &str) -> String {
        let text = format!("client_id = \"wsexec\"\n{more}");
        let mut config = Config {
            auth: Auth {
                openid: Some(toml::from_str(&text).unwrap()),
                ..Auth::default()
            },
            ..Config::default()
        };
        config.http.public_url = Some("https://wsexec.example".into());
        let said = config.validate().err().map(|error| error.to_string());
        said.unwrap_or_default()
    }

    #[test]
    fn a_provider_is_asked_over_https_or_on_this_machine() {
        for good in [
            "https://login.example",
            "https://login.example/realms/a",
            "http://127.0.0.1:8080",
            "http://[::1]",
        ] {
            assert_eq!(refused(&format!("issuer = {good:?}")), "");
        }
        for bad in [
            "",
            "login.example",
            "http://login.example",
            "http://localhost",
            "https://login.example?x",
            "https://login.example#x",
            "https://a:b@login.example",
        ] {
            let said = refused(&format!("issuer = {bad:?}"));
            assert!(said.starts_with("auth.openid.issuer: "), "{bad}: {said}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let issuer = "issuer = \"https://login.example\"\n";
        for (more, key) in [
            ("scopes = [\"profile\"]", "auth.openid.scopes"),
            ("create_users = true", "auth.openid.roles"),
            ("name = \"\"", "auth.openid.name"),
        ] {
            let said = refused(&format!("{issuer}{more}"));
            assert!(said.starts_with(key), "{more}: {said}");
        }
        let text = format!("{issuer}client_id = \"wsexec\"");
        let config = Config {
            auth: Auth {
                openid: Some(toml::from_str(&text).unwrap()),
                ..Auth::default()
            },
            ..Config::default()
        };
        let said = config.validate().unwrap_err().to_string();
        assert!(said.starts_with("http.public_url: "), "{said}");
    }
}
