//! The flags and variables that lie over the configuration file.

use super::Failure;
use crate::config::{self, Config, HostKeys};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the configuration and the data are.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct DataFlags {
    /// The configuration file [default: wsexec.toml where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory [env: WSEXEC_DATA] [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Where the certificate is.
#[derive(Debug, Clone, Default, clap::Args)]
struct TlsFlags {
    /// The certificate, PEM; made if absent [env: WSEXEC_TLS_CERT] [default: certs/wsexec.crt]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM; made if absent [env: WSEXEC_TLS_KEY] [default: certs/wsexec.key]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

/// What concerns the certificate alone.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct CertificateFlags {
    /// The configuration file [default: wsexec.toml where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsFlags,
}

/// Everything that can be set by a flag.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServerFlags {
    #[command(flatten)]
    data: DataFlags,
    /// Where to listen; port 0 takes a free one [env: WSEXEC_LISTEN] [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    tls: TlsFlags,
    /// A private key to log in with; may repeat [env: WSEXEC_SSH_IDENTITY, several with : between]
    /// [default: the usual keys in ~/.ssh, and the agent]
    #[arg(long, value_name = "FILE")]
    ssh_identity: Vec<PathBuf>,
    /// Host keys that are trusted [env: WSEXEC_SSH_KNOWN_HOSTS] [default: ~/.ssh/known_hosts]
    #[arg(long, value_name = "FILE")]
    ssh_known_hosts: Option<PathBuf>,
    /// accept-new records an instance's first key; strict takes only keys approved before
    /// [env: WSEXEC_SSH_HOST_KEYS] [default: accept-new]
    #[arg(long, value_name = "MODE", value_parser = host_keys)]
    ssh_host_keys: Option<HostKeys>,
}

impl DataFlags {
    /// The configuration as it holds for this call.
    pub(super) fn load(self) -> Result<Config, Failure> {
        ServerFlags {
            data: self,
            ..ServerFlags::default()
        }
        .load()
    }
}

impl CertificateFlags {
    /// The configuration as it holds for this call.
    pub(super) fn load(self) -> Result<Config, Failure> {
        ServerFlags {
            data: DataFlags {
                config: self.config,
                data: None,
            },
            tls: self.tls,
            ..ServerFlags::default()
        }
        .load()
    }
}

impl ServerFlags {
    /// The configuration as it holds for this call: flags over environment over file.
    pub(super) fn load(self) -> Result<Config, Failure> {
        let file = config::load(self.data.config.as_deref())?;
        let config = self.lay_over(file, |name| std::env::var_os(name))?;
        config.validate()?;
        Ok(config)
    }

    fn lay_over(
        self,
        mut config: Config,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, Failure> {
        // An empty variable is how a unit file or a shell says "not set".
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        let path = |flag: Option<PathBuf>, name| flag.or_else(|| variable(name).map(PathBuf::from));

        set(&mut config.data, path(self.data.data, "WSEXEC_DATA"));
        set(
            &mut config.tls.cert,
            path(self.tls.tls_cert, "WSEXEC_TLS_CERT"),
        );
        set(
            &mut config.tls.key,
            path(self.tls.tls_key, "WSEXEC_TLS_KEY"),
        );
        let listen = parsed(self.listen, "WSEXEC_LISTEN", variable, |text| {
            text.parse()
                .map_err(|_| "must be ADDR:PORT, such as 127.0.0.1:8443".to_owned())
        })?;
        set(&mut config.http.listen, listen);
        let known_hosts = path(self.ssh_known_hosts, "WSEXEC_SSH_KNOWN_HOSTS");
        config.ssh.known_hosts = known_hosts.or(config.ssh.known_hosts);
        let host_keys = parsed(
            self.ssh_host_keys,
            "WSEXEC_SSH_HOST_KEYS",
            variable,
            host_keys,
        )?;
        set(&mut config.ssh.host_keys, host_keys);
        if !self.ssh_identity.is_empty() {
            config.ssh.identities = self.ssh_identity;
        } else if let Some(list) = variable("WSEXEC_SSH_IDENTITY") {
            config.ssh.identities = std::env::split_paths(&list)
                .filter(|p| p != Path::new(""))
                .collect();
        }
        Ok(config)
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// The flag, else the variable, which is named where it cannot be read.
fn parsed<T>(
    flag: Option<T>,
    name: &'static str,
    variable: impl Fn(&'static str) -> Option<OsString>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    if flag.is_some() {
        return Ok(flag);
    }
    variable(name)
        .map(|value| {
            parse(&value.to_string_lossy()).map_err(|why| Failure::new(format!("{name}: {why}")))
        })
        .transpose()
}

fn host_keys(text: &str) -> Result<HostKeys, String> {
    match text {
        "accept-new" => Ok(HostKeys::AcceptNew),
        "strict" => Ok(HostKeys::Strict),
        _ => Err("must be accept-new or strict".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> ServerFlags {
        ServerFlags::default()
    }

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        |name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = Config {
            data: "file".into(),
            ..Config::default()
        };
        let variables = environment(&[("WSEXEC_DATA", "environment")]);
        let mut by_flag = flags();
        by_flag.data.data = Some("flag".into());
        let laid = by_flag.lay_over(file.clone(), &variables).unwrap();
        assert_eq!(laid.data, Path::new("flag"));
        let laid = flags().lay_over(file.clone(), &variables).unwrap();
        assert_eq!(laid.data, Path::new("environment"));
        let laid = flags().lay_over(file, environment(&[])).unwrap();
        assert_eq!(laid.data, Path::new("file"));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = environment(&[
            ("WSEXEC_DATA", ""),
            ("WSEXEC_LISTEN", ""),
            ("WSEXEC_SSH_IDENTITY", ""),
            ("WSEXEC_SSH_HOST_KEYS", ""),
        ]);
        let laid = flags().lay_over(Config::default(), variables).unwrap();
        assert_eq!(laid.data, Path::new("data"));
        assert_eq!(laid.http.listen.port(), 8443);
        assert_eq!(laid.ssh.identities, Vec::<PathBuf>::new());
    }

    #[test]
    fn several_identities_stand_in_one_variable() {
        let variables = environment(&[("WSEXEC_SSH_IDENTITY", "/a:/b::")]);
        let laid = flags().lay_over(Config::default(), variables).unwrap();
        assert_eq!(laid.ssh.identities, ["/a", "/b"].map(PathBuf::from));
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named() {
        for (name, value) in [
            ("WSEXEC_LISTEN", "nowhere"),
            ("WSEXEC_SSH_HOST_KEYS", "none"),
        ] {
            let variables = |asked: &str| (asked == name).then(|| OsString::from(value));
            let failure = flags().lay_over(Config::default(), variables).unwrap_err();
            assert!(failure.to_string().starts_with(name), "{failure}");
        }
    }
}
