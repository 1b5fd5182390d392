//! Instances as the API shows them.

use super::word::OneOf;
use crate::domain::{Health, HostKeyState, Instance, InstanceState, Mode, ShownKey, SshLibrary};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use std::collections::BTreeMap;

/// The host key on record for an instance; `type` and `fingerprint` are null while it is unknown.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "HostKey")]
pub struct HostKeyJson {
    /// `unknown` until the first connection; `trusted`: this key alone is right; `changed`: the
    /// machine has shown another one since; `revoked`: this key is forbidden.
    pub state: OneOf<HostKeyState>,
    /// The key's algorithm, such as `ssh-ed25519`.
    #[oai(nullable)]
    pub r#type: Option<String>,
    /// Its fingerprint, as `ssh-keygen -l` shows it.
    #[oai(nullable)]
    pub fingerprint: Option<String>,
    /// The last key that the machine has proved to hold and that is not trusted.
    #[oai(nullable)]
    pub shown: Option<ShownKeyJson>,
}

/// A key that a machine has proved to hold and that was not trusted.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ShownKey")]
pub struct ShownKeyJson {
    /// The key's algorithm, such as `ssh-ed25519`.
    pub r#type: String,
    /// Its fingerprint, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// When it was shown last, Unix seconds.
    pub at: i64,
}

impl From<&ShownKey> for ShownKeyJson {
    fn from(shown: &ShownKey) -> Self {
        Self {
            r#type: shown.key.algorithm.clone(),
            fingerprint: shown.key.fingerprint.clone(),
            at: shown.at,
        }
    }
}

/// What the connections to an instance have told.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Health")]
pub struct HealthJson {
    /// When a login there succeeded last, Unix seconds.
    #[oai(nullable)]
    pub last_seen: Option<i64>,
    /// How long the last new connection took with its login, in milliseconds.
    #[oai(nullable)]
    pub latency_ms: Option<u32>,
    /// Why the last connection that failed did.
    #[oai(nullable)]
    pub last_error: Option<String>,
    /// When that was, Unix seconds.
    #[oai(nullable)]
    pub last_error_at: Option<i64>,
    /// The SSH library that speaks with it: chosen by what the machine offers.
    #[oai(nullable)]
    pub library: Option<OneOf<SshLibrary>>,
}

impl From<&Health> for HealthJson {
    fn from(health: &Health) -> Self {
        Self {
            last_seen: health.last_seen,
            latency_ms: health.latency_ms,
            last_error: health.last_error.clone(),
            last_error_at: health.last_error_at,
            library: health.library.map(OneOf),
        }
    }
}

/// A machine that scripts can run on.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Instance", example)]
pub struct InstanceJson {
    /// Given by the server, never reused.
    pub id: i64,
    /// The absolute URL of this instance.
    pub uri: String,
    /// IPv4 or IPv6 address, or host name.
    pub ip: String,
    /// A description.
    pub tag: String,
    /// Whether it takes tasks.
    pub state: OneOf<InstanceState>,
    /// The SSH port.
    pub port: u16,
    /// The id of the instance through which it is reached; null where it is reached directly.
    #[oai(nullable)]
    pub jump: Option<i64>,
    /// The user to log in as on the jump; null for the task's own.
    #[oai(nullable)]
    pub jump_user: Option<String>,
    /// How its tasks run unless they say otherwise.
    pub mode: OneOf<Mode>,
    /// What it is labelled with.
    pub labels: BTreeMap<String, String>,
    /// The name of the identity that is logged in with; null for the server's own keys.
    #[oai(nullable)]
    pub identity: Option<String>,
    /// Whether each task there needs a second person's approval.
    pub approval: bool,
    /// The key that it must show.
    pub host_key: HostKeyJson,
    /// What the connections there have told.
    pub health: HealthJson,
}

impl InstanceJson {
    /// The instance as the API shows it.
    pub fn new(instance: &Instance, base: &str) -> Self {
        let key = instance.host_key.as_ref();
        Self {
            id: instance.id.0,
            uri: format!("{base}/wsexec/instances/{}", instance.id),
            ip: instance.ip.clone(),
            tag: instance.tag.clone(),
            state: OneOf(instance.state),
            port: instance.port,
            jump: instance.jump.map(|id| id.0),
            jump_user: instance.jump_user.clone(),
            mode: OneOf(instance.mode),
            labels: instance.labels.clone(),
            identity: instance.identity.clone(),
            approval: instance.approval,
            host_key: HostKeyJson {
                state: OneOf(instance.host_key_state()),
                r#type: key.map(|key| key.algorithm.clone()),
                fingerprint: key.map(|key| key.fingerprint.clone()),
                shown: instance.shown_key.as_ref().map(ShownKeyJson::from),
            },
            health: HealthJson::from(&instance.health),
        }
    }
}

impl Example for InstanceJson {
    fn example() -> Self {
        Self {
            id: 1,
            uri: "https://127.0.0.1:8443/wsexec/instances/1".into(),
            ip: "127.0.0.1".into(),
            tag: "localhost".into(),
            state: OneOf(InstanceState::Active),
            port: 22,
            jump: None,
            jump_user: None,
            mode: OneOf(Mode::Attached),
            labels: BTreeMap::from([("env".into(), "test".into())]),
            identity: None,
            approval: false,
            host_key: HostKeyJson {
                state: OneOf(HostKeyState::Trusted),
                r#type: Some("ssh-ed25519".into()),
                fingerprint: Some("SHA256:6sLmEQCmn2hmiMYkTBJYX7nXMcgzOYqRzPCyHKKIf5s".into()),
                shown: None,
            },
            health: HealthJson {
                last_seen: Some(1_436_506_790),
                latency_ms: Some(42),
                last_error: None,
                last_error_at: None,
                library: Some(OneOf(SshLibrary::Thrussh)),
            },
        }
    }
}

/// One instance.
#[derive(Object, Serialize)]
#[oai(rename = "InstanceAnswer")]
pub struct InstanceAnswer {
    /// The instance.
    pub instance: InstanceJson,
}

/// Instances, by id.
#[derive(Object)]
#[oai(rename = "InstancesAnswer")]
pub struct InstancesAnswer {
    /// The instances.
    instances: Vec<InstanceJson>,
}
