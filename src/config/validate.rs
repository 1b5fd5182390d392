use super::{Acme, Config, ConfigError, Tls};
use crate::domain;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use url::{Host, Url};

const MIB: u64 = 1024 * 1024;
const DAY: u64 = 24 * 60 * 60;
/// The most names in a certificate by ACME.
const DOMAINS: usize = 100;

impl Config {
    /// Holds every value against its bounds: to be called once flags and environment are laid
    /// over the file.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key of the first value that is out of bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (http, ssh, engine) = (&self.http, &self.ssh, &self.engine);
        public_url(http.public_url.as_deref())?;
        tls(&self.tls)?;
        self.traces.validate()?;
        if let Some(openid) = &self.auth.openid {
            openid.validate(http.public_url.is_some())?;
        }
        for (key, value, bounds) in [
            (
                "http.max_connections",
                http.max_connections as u64,
                1..=1_000_000,
            ),
            ("http.body_limit", http.body_limit, 1024..=64 * MIB),
            (
                "http.task_body_limit",
                http.task_body_limit,
                1024..=64 * MIB,
            ),
            ("http.handshake_timeout", http.handshake_timeout, 1..=300),
            ("http.head_timeout", http.head_timeout, 1..=3600),
            ("http.body_timeout", http.body_timeout, 1..=3600),
            ("http.write_timeout", http.write_timeout, 1..=3600),
            ("ssh.connect_timeout", ssh.connect_timeout, 1..=600),
            ("ssh.login_timeout", ssh.login_timeout, 1..=600),
            ("ssh.start_timeout", ssh.start_timeout, 1..=600),
            (
                "engine.silence_timeout",
                engine.silence_timeout,
                0..=31 * DAY,
            ),
            ("ssh.pool_idle", ssh.pool_idle, 0..=3600),
            ("ssh.pool_size", ssh.pool_size as u64, 0..=100_000),
            ("engine.max_running", engine.max_running as u64, 1..=100_000),
            (
                "engine.max_per_instance",
                engine.max_per_instance as u64,
                1..=100_000,
            ),
            (
                "engine.output_limit",
                engine.output_limit,
                1024..=4096 * MIB,
            ),
            ("engine.cancel_grace", engine.cancel_grace, 0..=3600),
            ("engine.stop_grace", engine.stop_grace, 0..=DAY),
            (
                "engine.reconnect_timeout",
                engine.reconnect_timeout,
                1..=3600,
            ),
            ("auth.session_idle", self.auth.session_idle, 60..=31 * DAY),
            (
                "auth.session_lifetime",
                self.auth.session_lifetime,
                60..=366 * DAY,
            ),
            ("approvals.expire", self.approvals.expire, 1..=31 * DAY),
            ("store.min_free", self.store.min_free, 0..=1024 * 1024 * MIB),
            ("store.readers", self.store.readers as u64, 1..=64),
        ] {
            within(key, value, bounds)?;
        }
        self.approvals.rules()?;
        self.retention.rules().map(drop)
    }
}

pub(super) fn within(
    key: &'static str,
    value: u64,
    bounds: RangeInclusive<u64>,
) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let message = format!(
        "{value} is not within {} to {}",
        bounds.start(),
        bounds.end()
    );
    Err(ConfigError::Value { key, message })
}

pub(super) fn wrong<T>(key: &'static str, message: &str) -> Result<T, ConfigError> {
    Err(ConfigError::Value {
        key,
        message: message.into(),
    })
}

/// Whether an address names this machine by number: what a name leads to can be changed.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}

fn tls(tls: &Tls) -> Result<(), ConfigError> {
    let advice = "it needs tls.client_ca beside it: without that no client certificate counts";
    if tls.client_ca.is_none() && tls.client_certificates.is_some() {
        return wrong("tls.client_certificates", advice);
    }
    if tls.client_ca.is_none() && tls.client_crl.is_some() {
        return wrong("tls.client_crl", advice);
    }
    tls.acme.as_ref().map_or(Ok(()), acme)
}

fn acme(acme: &Acme) -> Result<(), ConfigError> {
    let https = Url::parse(&acme.directory)
        .is_ok_and(|url| url.scheme() == "https" && url.has_host() && url.username().is_empty());
    if !https {
        return wrong("tls.acme.directory", "it has to be an https:// address");
    }
    let name = |domain: &String| {
        domain::host(domain).is_ok() && domain.parse::<IpAddr>().is_err() && domain.len() <= 253
    };
    if !(1..=DOMAINS).contains(&acme.domains.len()) || !acme.domains.iter().all(name) {
        return wrong(
            "tls.acme.domains",
            "it has to name 1 to 100 hosts, without wildcards and addresses",
        );
    }
    let mail = |contact: &String| contact.starts_with("mailto:") && contact.contains('@');
    if !acme.contact.iter().all(mail) {
        return wrong(
            "tls.acme.contact",
            "each has to look like mailto:ops@example.org",
        );
    }
    if !acme.accept_terms {
        return wrong(
            "tls.acme.accept_terms",
            "it has to be true: read the terms of service of the ACME server, and say that you \
             accept them",
        );
    }
    Ok(())
}

fn public_url(text: Option<&str>) -> Result<(), ConfigError> {
    let Some(text) = text else { return Ok(()) };
    let good = Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if good {
        return Ok(());
    }
    wrong(
        "http.public_url",
        "it has to look like https://wsexec.example or https://example/wsexec",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_its_key() {
        let mut config = Config::default();
        config.http.head_timeout = 0;
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "http.head_timeout: 0 is not within 1 to 3600");
    }

    #[test]
    fn a_public_url_is_https_and_nothing_but_a_place() {
        for bad in [
            "http://a",
            "https://",
            "a.example",
            "https://u:p@a",
            "https://a/?q",
            "https://a/#f",
        ] {
            let mut config = Config::default();
            config.http.public_url = Some(bad.into());
            assert!(config.validate().is_err(), "{bad}");
        }
        let mut config = Config::default();
        config.http.public_url = Some("https://a.example:8443/base/".into());
        config.validate().unwrap();
    }

    #[test]
    fn client_certificates_need_an_authority_and_acme_needs_names_and_consent() {
        for (text, key) in [
            (
                "client_certificates = \"required\"",
                "tls.client_certificates",
            ),
            ("client_crl = \"crl.pem\"", "tls.client_crl"),
            ("acme = { accept_terms = true }", "tls.acme.domains"),
            (
                "acme = { accept_terms = true, domains = [\"10.0.0.1\"] }",
                "tls.acme.domains",
            ),
            (
                "acme = { accept_terms = true, domains = [\"*.example.org\"] }",
                "tls.acme.domains",
            ),
            (
                "acme = { domains = [\"example.org\"] }",
                "tls.acme.accept_terms",
            ),
            (
                "acme = { accept_terms = true, domains = [\"example.org\"], contact = [\"me\"] }",
                "tls.acme.contact",
            ),
            (
                "acme = { accept_terms = true, domains = [\"a.example\"], directory = \"http://a\" }",
                "tls.acme.directory",
            ),
        ] {
            let config = Config {
                tls: toml::from_str(text).unwrap(),
                ..Config::default()
            };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{text}: {error}");
        }
        let text = "client_ca = \"ca.pem\"\nclient_certificates = \"optional\"\n\
             min_version = \"1.3\"\n\
             acme = { accept_terms = true, domains = [\"example.org\"] }";
        let config = Config {
            tls: toml::from_str(text).unwrap(),
            ..Config::default()
        };
        config.validate().unwrap();
    }
}
