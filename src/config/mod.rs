//! What can be configured: one struct for each section of `wsexec.toml`.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. The
//! reading of files is in `load`; flags and the environment are laid over it by `cli`.

mod auth;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod load;
mod openid;
mod proxies;
mod retention;
mod tls;
mod traces;
mod validate;

pub use auth::{Auth, RoleName};
pub use load::{ConfigError, load};
pub use openid::OpenId;
pub use proxies::Proxies;
pub use retention::{Retention, RetentionRule};
pub use tls::{Acme, ClientCertificates, Tls, TlsVersion};
pub use traces::Traces;

use crate::domain::{ApprovalRules, Scope};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data directory: the store, and the first password until it is changed.
    pub data: PathBuf,
    /// `[http]`
    pub http: Http,
    /// `[tls]`
    pub tls: Tls,
    /// `[ssh]`
    pub ssh: Ssh,
    /// `[auth]`
    pub auth: Auth,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[engine]`
    pub engine: Engine,
    /// `[approvals]`
    pub approvals: Approvals,
    /// `[store]`
    pub store: Store,
    /// `[retention]`
    pub retention: Retention,
    /// `[audit]`
    pub audit: Audit,
    /// `[log]`
    pub log: Log,
    /// `[traces]`
    pub traces: Traces,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "data".into(),
            http: Http::default(),
            tls: Tls::default(),
            ssh: Ssh::default(),
            auth: Auth::default(),
            secrets: Secrets::default(),
            engine: Engine::default(),
            approvals: Approvals::default(),
            store: Store::default(),
            retention: Retention::default(),
            audit: Audit::default(),
            log: Log::default(),
            traces: Traces::default(),
        }
    }
}

/// How the service listens and what it takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What `uri` begins with, such as `https://wsexec.example`; from the request where unset.
    pub public_url: Option<String>,
    /// The proxies whose word counts for where a request comes from (`X-Forwarded-For`).
    pub trusted_proxies: Proxies,
    /// The most connections at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// The largest body that is taken, in bytes.
    pub body_limit: u64,
    /// The largest body of a task that is posted, in bytes: its standard input comes with it.
    pub task_body_limit: u64,
    /// Seconds for a TLS handshake.
    pub handshake_timeout: u64,
    /// Seconds for a request's head, and for an idle connection to begin one.
    pub head_timeout: u64,
    /// Seconds for a whole request body.
    pub body_timeout: u64,
    /// Seconds that a write to a reader may stand still before its connection is closed.
    pub write_timeout: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            public_url: None,
            trusted_proxies: Proxies::default(),
            max_connections: 4096,
            body_limit: 1024 * 1024,
            task_body_limit: 24 * 1024 * 1024,
            handshake_timeout: 10,
            head_timeout: 30,
            body_timeout: 30,
            write_timeout: 60,
        }
    }
}

/// How machines are reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ssh {
    /// Private key files; the usual ones in `~/.ssh` and the agent where there is none.
    pub identities: Vec<PathBuf>,
    /// A file that holds the passphrase of the identities; `WSEXEC_SSH_PASSPHRASE` does the same.
    pub passphrase_file: Option<PathBuf>,
    /// Keys that are trusted, in OpenSSH's format; `~/.ssh/known_hosts` where unset.
    pub known_hosts: Option<PathBuf>,
    /// What to do with a host that is not known.
    pub host_keys: HostKeys,
    /// Seconds for the name look-up and the TCP connection.
    pub connect_timeout: u64,
    /// Seconds for the key exchange and the login.
    pub login_timeout: u64,
    /// Seconds for the machine to accept the script.
    pub start_timeout: u64,
    /// Which library speaks SSH.
    pub library: SshLibrary,
    /// Seconds that a connection that nobody uses is kept; 0 for none.
    pub pool_idle: u64,
    /// The most connections that are kept while nobody uses them.
    pub pool_size: usize,
    /// The passwords that `become` asks for, by the names that tasks refer to them by.
    pub become_passwords: BTreeMap<String, BecomePassword>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            identities: Vec::new(),
            passphrase_file: None,
            known_hosts: None,
            host_keys: HostKeys::AcceptNew,
            connect_timeout: 10,
            login_timeout: 20,
            start_timeout: 20,
            library: SshLibrary::Auto,
            pool_idle: 60,
            pool_size: 1024,
            become_passwords: BTreeMap::new(),
        }
    }
}

/// What to do with a host whose key is not known. A changed key is refused in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeys {
    /// Record its first key; from then on that one alone is right.
    AcceptNew,
    /// Only keys that were approved before.
    Strict,
}

/// A password that sudo asks for, and who may be told it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BecomePassword {
    /// The file that holds it (0600).
    pub file: PathBuf,
    /// The machines that it is for, as known_hosts names hosts: `web-*`, `[10.0.0.5]:2222`. No
    /// other one gets it, whatever a task says.
    pub hosts: Vec<String>,
}

/// Where the keys are that secrets in the store are encrypted under.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// The file that holds the master key (0600): 32 bytes as base64 or hex, as `wsexec secrets
    /// init` makes it. `WSEXEC_MASTER_KEY` wins over it; where there is neither, the credential
    /// `wsexec-master-key` of systemd is taken.
    pub master_key_file: Option<PathBuf>,
    /// The keys of before, which still open what was not yet encrypted anew.
    pub previous_key_files: Vec<PathBuf>,
}

/// Which library speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SshLibrary {
    /// thrussh, and russh for the machines and keys that it cannot serve.
    Auto,
    /// thrussh alone.
    Thrussh,
    /// russh alone.
    Russh,
}

/// What becomes of a script that runs on while nothing takes its output any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// It is left alone, and the reason says so.
    Leave,
    /// It is ended as by a cancel.
    End,
}

/// How scripts are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// The most scripts that run at once.
    pub max_running: usize,
    /// The most scripts that run at once on one instance.
    pub max_per_instance: usize,
    /// What is kept of each stream of a task, in bytes.
    pub output_limit: u64,
    /// Seconds that a script may write nothing before it is ended; 0 for as long as it likes.
    pub silence_timeout: u64,
    /// Seconds between TERM and KILL.
    pub cancel_grace: u64,
    /// Seconds that scripts get to end by themselves when the server stops.
    pub stop_grace: u64,
    /// Seconds that a machine gets to answer again when its connection broke, or the server was
    /// started anew, before what became of a script counts as not known.
    pub reconnect_timeout: u64,
    /// What becomes of a script that is found still running then.
    pub orphans: Orphans,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            max_running: 256,
            max_per_instance: 8,
            output_limit: 16 * 1024 * 1024,
            silence_timeout: 0,
            cancel_grace: 5,
            stop_grace: 30,
            reconnect_timeout: 30,
            orphans: Orphans::Leave,
        }
    }
}

/// What needs a second person before it runs, beside the instances that say so themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approvals {
    /// Logins that need one, as the rules of a scope: `root@*`, `*@env=prod`. None where empty.
    pub required: Vec<String>,
    /// Seconds that somebody has to decide.
    pub expire: u64,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            expire: 24 * 60 * 60,
        }
    }
}

impl Approvals {
    /// The rules.
    ///
    /// # Errors
    /// [`ConfigError::Value`] where one is none.
    pub fn rules(&self) -> Result<ApprovalRules, ConfigError> {
        let required = Scope::parse(self.required.iter().map(String::as_str));
        let required = required.map_err(|message| ConfigError::Value {
            key: "approvals.required",
            message,
        })?;
        let expire = i64::try_from(self.expire).unwrap_or(i64::MAX);
        Ok(ApprovalRules::new(required, expire))
    }
}

/// The store.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// New tasks are refused before the free space of the disk falls under so many bytes.
    pub min_free: u64,
    /// Connections that read.
    pub readers: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            min_free: 512 * 1024 * 1024,
            readers: 4,
        }
    }
}

/// The audit trail's key and anchor, which are worth most on another disk than the store.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The key of its MACs; `audit.key` in the data directory where unset.
    pub key_file: Option<PathBuf>,
    /// The file that says where it ends; `audit.anchor` in the data directory where unset.
    pub anchor_file: Option<PathBuf>,
}

/// What is logged, to stderr.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel::Info,
        }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what looks wrong.
    Warn,
    /// And a line for each request and task.
    Info,
    /// And what helps to find a fault.
    Debug,
}
