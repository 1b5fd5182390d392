use super::ConfigError;
use super::validate::{is_loopback, wrong};
use serde::Deserialize;
use std::path::PathBuf;
use url::Url;

/// Where traces go (OpenTelemetry).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Where the collector takes them by OTLP over HTTP, such as
    /// `https://collector.example:4318/v1/traces`; there are no traces where it is unset.
    pub endpoint: Option<String>,
    /// The part of traces that are kept, 0 to 1, where whoever asks has not decided it already.
    pub sample_ratio: f64,
    /// What the service is called there.
    pub service_name: String,
    /// The certificates of who issues the collector's, PEM, beside those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: 1.0,
            service_name: "wsexec".into(),
            ca_file: None,
        }
    }
}

impl Traces {
    /// # Errors
    /// [`ConfigError::Value`] with the key of the first value that cannot be used.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !self.endpoint.as_deref().is_none_or(is_good_endpoint) {
            return wrong(
                "traces.endpoint",
                "it has to be an https:// address, such as \
                 https://collector.example:4318/v1/traces, or an http:// one on 127.0.0.1 or [::1]",
            );
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return wrong("traces.sample_ratio", "it has to be within 0 and 1");
        }
        let length = self.service_name.chars().count();
        if !(1..=255).contains(&length) || self.service_name.chars().any(char::is_control) {
            return wrong("traces.service_name", "it has to have 1 to 255 characters");
        }
        Ok(())
    }
}

/// Plain HTTP is for a collector on this machine alone. A login in the address would be logged.
fn is_good_endpoint(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let sent_safely = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    url.has_host() && bare && sent_safely
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str) -> String {
        let config = Config {
            traces: toml::from_str(text).unwrap(),
            ..Config::default()
        };
        let said = config.validate().err().map(|error| error.to_string());
        said.unwrap_or_default()
    }

    #[test]
    fn a_collector_is_told_over_https_or_on_this_machine() {
        for good in [
            "https://collector.example:4318/v1/traces",
            "http://127.0.0.1:4318/v1/traces",
            "http://[::1]:4318/v1/traces",
        ] {
            assert_eq!(refused(&format!("endpoint = {good:?}")), "");
        }
        for bad in [
            "",
            "collector.example:4318",
            "http://collector.example:4318/v1/traces",
            "http://localhost:4318/v1/traces",
            "grpc://127.0.0.1:4317",
            "https://a:b@collector.example/v1/traces",
        ] {
            let said = refused(&format!("endpoint = {bad:?}"));
            assert!(said.starts_with("traces.endpoint: "), "{bad}: {said}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        for (text, key) in [
            ("sample_ratio = 1.5", "traces.sample_ratio"),
            ("sample_ratio = -0.5", "traces.sample_ratio"),
            ("sample_ratio = nan", "traces.sample_ratio"),
            ("service_name = \"\"", "traces.service_name"),
        ] {
            let said = refused(text);
            assert!(said.starts_with(key), "{text}: {said}");
        }
    }
}
