//! What the bodies about instances can say.

use super::change::{Fixed, NumberOrText, id, require_same_id};
use super::input::{Input, Members, Nullable, Number, Texts};
use super::instance_json::InstanceJson;
use super::word::OneOf;
use crate::domain::{
    self, HostKeyDecision, InstanceChange, InstanceId, InstanceState, Labels, Mode, NewInstance,
    Result,
};
use poem_openapi::Object;
use poem_openapi::types::Example;
use std::collections::BTreeMap;

/// What is needed to declare an instance.
#[derive(Object)]
#[oai(rename = "NewInstance", example, skip_serializing_if_is_none)]
pub struct NewInstanceBody {
    /// IPv4 or IPv6 address, or host name.
    ip: String,
    /// A description; empty unless given.
    tag: Option<String>,
    /// `ACTIVE` unless given.
    state: Option<OneOf<InstanceState>>,
    /// The SSH port; 22 unless given.
    port: Option<u16>,
    /// The id of the instance through which it is reached; null where it is reached directly.
    #[oai(nullable)]
    jump: Option<NumberOrText>,
    /// The user to log in as on the jump; null for the task's own.
    #[oai(nullable)]
    jump_user: Option<String>,
    /// How its tasks run unless they say otherwise; `attached` unless given.
    mode: Option<OneOf<Mode>>,
    /// What it is labelled with; nothing unless given.
    labels: Option<BTreeMap<String, String>>,
    /// The name of the identity to log in with; null for the server's own keys.
    #[oai(nullable)]
    identity: Option<String>,
    /// Whether each task there needs a second person's approval; false unless given.
    approval: Option<bool>,
}

impl Example for NewInstanceBody {
    fn example() -> Self {
        Self {
            ip: "127.0.0.1".into(),
            tag: Some("localhost".into()),
            state: Some(OneOf(InstanceState::Active)),
            port: Some(22),
            jump: None,
            jump_user: None,
            mode: None,
            labels: None,
            identity: None,
            approval: None,
        }
    }
}

impl Input for NewInstance {
    type Schema = NewInstanceBody;

    fn read(mut members: Members) -> Result<Self> {
        let state = members.take::<OneOf<InstanceState>>("state");
        let new = Self {
            ip: members.need("ip"),
            tag: members.take("tag").unwrap_or_default(),
            state: state.map_or(InstanceState::Active, |it| it.0),
            port: port(&mut members).unwrap_or(22),
            jump: jump(&mut members).flatten(),
            jump_user: jump_user(&mut members).flatten(),
            mode: mode(&mut members).unwrap_or_default(),
            labels: labels(&mut members).unwrap_or_default(),
            identity: identity(&mut members).flatten(),
            approval: members.take("approval").unwrap_or_default(),
        };
        members.finish(new, Self::validate)
    }
}

fn port(members: &mut Members) -> Option<u16> {
    let number: i64 = members.take("port")?;
    if let Err(message) = domain::port(number) {
        members.wrong("port", message);
    }
    u16::try_from(number).ok()
}

fn jump(members: &mut Members) -> Option<Option<InstanceId>> {
    let Nullable(jump) = members.take::<Nullable<Number>>("jump")?;
    if jump.as_ref().is_some_and(|id| id.0 < 1) {
        members.wrong("jump", "must be the id of an instance, or null");
    }
    Some(jump.map(|id| InstanceId(id.0)))
}

fn mode(members: &mut Members) -> Option<Mode> {
    members.take::<OneOf<Mode>>("mode").map(|it| it.0)
}

fn labels(members: &mut Members) -> Option<Labels> {
    let Texts(labels) = members.take("labels")?;
    Some(labels.into_iter().collect())
}

fn identity(members: &mut Members) -> Option<Option<String>> {
    let Nullable(name) = members.take::<Nullable<String>>("identity")?;
    Some(name)
}

fn jump_user(members: &mut Members) -> Option<Option<String>> {
    let Nullable(user) = members.take::<Nullable<String>>("jump_user")?;
    Some(user)
}

/// A partial update of an instance: what is left out stays as it is. `uri`, `host_key`
/// and `health` are taken too, the first two where they are unchanged, so that what was read can be
/// sent back.
#[derive(Object)]
#[oai(rename = "InstanceChange", example, skip_serializing_if_is_none)]
pub struct InstanceChangeBody {
    /// Which instance; required where the path does not say it.
    id: Option<i64>,
    /// A new address; the host key starts afresh.
    ip: Option<String>,
    /// A new description.
    tag: Option<String>,
    /// A new state; `DEACTIVE` is taken too and means `DEACTIVATE`.
    state: Option<OneOf<InstanceState>>,
    /// A new port; the host key starts afresh.
    port: Option<u16>,
    /// Another instance to reach it through; null for none.
    #[oai(nullable)]
    jump: Option<NumberOrText>,
    /// Another user to log in as there; null for the task's own.
    #[oai(nullable)]
    jump_user: Option<String>,
    /// How tasks that are posted from now on run unless they say otherwise.
    mode: Option<OneOf<Mode>>,
    /// Other labels, instead of all that there were.
    labels: Option<BTreeMap<String, String>>,
    /// Another identity to log in with; null for the server's own keys.
    #[oai(nullable)]
    identity: Option<String>,
    /// Whether each task there needs a second person's approval.
    approval: Option<bool>,
}

impl Example for InstanceChangeBody {
    fn example() -> Self {
        Self {
            id: Some(1),
            ip: None,
            tag: Some("localhost".into()),
            state: Some(OneOf(InstanceState::Deactivate)),
            port: None,
            jump: None,
            jump_user: None,
            mode: None,
            labels: None,
            identity: None,
            approval: None,
        }
    }
}

/// What a PUT on an instance says.
pub struct InstancePut {
    /// The instance that it names.
    pub id: Option<i64>,
    change: InstanceChange,
    fixed: Fixed,
}

impl InstancePut {
    /// What changes with each connection: a caller cannot know the present value.
    const MOVING: [&'static str; 1] = ["health"];

    /// Whether the instance has to be looked at before this can be done.
    pub fn has_fixed(&self) -> bool {
        !self.fixed.is_empty()
    }

    /// What is to be done to instance `id`.
    ///
    /// # Errors
    /// A conflict where it names a member that may not change, with another value than `present`.
    pub fn onto(self, id: i64, present: Option<&InstanceJson>) -> Result<InstanceChange> {
        require_same_id(self.id, id)?;
        if let Some(present) = present {
            self.fixed.require_unchanged(present, &Self::MOVING)?;
        }
        Ok(self.change)
    }
}

impl Input for InstancePut {
    type Schema = InstanceChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        let state = members.take::<OneOf<InstanceState>>("state");
        let put = Self {
            id: id(&mut members),
            change: InstanceChange {
                ip: members.take("ip"),
                tag: members.take("tag"),
                state: state.map(|it| it.0),
                port: port(&mut members),
                jump: jump(&mut members),
                jump_user: jump_user(&mut members),
                mode: mode(&mut members),
                labels: labels(&mut members),
                identity: identity(&mut members),
                approval: members.take("approval"),
            },
            fixed: Fixed::take(&mut members, &["uri", "host_key", "health"]),
        };
        members.finish(put, |put| check(&put.change))
    }
}

/// The rules of the domain for what a change names.
fn check(change: &InstanceChange) -> Result<()> {
    let mut wrong = domain::Invalid::default();
    if let Some(ip) = &change.ip {
        wrong.check("ip", domain::host(ip));
    }
    if let Some(tag) = &change.tag {
        wrong.check("tag", domain::tag(tag));
    }
    if let Some(Some(user)) = &change.jump_user {
        wrong.check("jump_user", domain::login_user(user));
    }
    if let Some(labels) = &change.labels {
        wrong.check("labels", domain::labels(labels));
    }
    if let Some(Some(identity)) = &change.identity {
        wrong.check("identity", domain::reference(identity));
    }
    wrong.finish()
}

/// What is to become of a host key.
#[derive(Object)]
#[oai(rename = "HostKeyChange", example)]
pub struct HostKeyChangeBody {
    /// `approve` trusts the key that was shown where none is on record; `replace` trusts it instead
    /// of the one on record; `revoke` forbids a key from now on.
    action: OneOf<HostKeyDecision>,
    /// The key's fingerprint, as `ssh-keygen -l` shows it.
    fingerprint: String,
}

impl Example for HostKeyChangeBody {
    fn example() -> Self {
        Self {
            action: OneOf(HostKeyDecision::Approve),
            fingerprint: "SHA256:6sLmEQCmn2hmiMYkTBJYX7nXMcgzOYqRzPCyHKKIf5s".into(),
        }
    }
}

/// What a PUT on a host key says.
pub struct HostKeyPut {
    /// What to do.
    pub decision: HostKeyDecision,
    /// With which key.
    pub fingerprint: String,
}

impl Input for HostKeyPut {
    type Schema = HostKeyChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        let action = members.take::<OneOf<HostKeyDecision>>("action");
        if action.is_none() {
            members.wrong("action", "is required");
        }
        let put = Self {
            decision: action.map_or(HostKeyDecision::Revoke, |it| it.0),
            fingerprint: members.need("fingerprint"),
        };
        members.finish(put, |put| {
            let mut wrong = domain::Invalid::default();
            wrong.check("fingerprint", domain::fingerprint(&put.fingerprint));
            wrong.finish()
        })
    }
}
