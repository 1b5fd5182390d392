use super::{
    Health, HostKey, HostKeyState, Labels, Mode, Result, RevokedKey, ShownKey, label, validate,
};
use std::fmt;

/// The id of an instance: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct InstanceId(pub i64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an instance takes new tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// It takes tasks.
    Active,
    /// It takes none, and what waits for it goes on waiting.
    Deactivate,
}

impl InstanceState {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deactivate => "DEACTIVATE",
        }
    }

    /// Reads the word; `DEACTIVE`, the old service's spelling, is taken too.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ACTIVE" => Some(Self::Active),
            "DEACTIVATE" | "DEACTIVE" => Some(Self::Deactivate),
            _ => None,
        }
    }
}

/// A machine that scripts can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// IPv4 or IPv6 address, or host name.
    pub ip: String,
    /// A description.
    pub tag: String,
    /// Whether it takes tasks.
    pub state: InstanceState,
    /// The SSH port.
    pub port: u16,
    /// The instance through which it is reached; none where it is reached directly.
    pub jump: Option<InstanceId>,
    /// The user to log in as there; the task's own where there is none.
    pub jump_user: Option<String>,
    /// How its tasks run unless they say otherwise.
    pub mode: Mode,
    /// What it is labelled with.
    pub labels: Labels,
    /// The name of the identity that is logged in with; the server's own keys where there is none.
    pub identity: Option<String>,
    /// Whether each task there needs a second person's approval.
    pub approval: bool,
    /// The key that it must show; none until its first connection.
    pub host_key: Option<HostKey>,
    /// The last key that it has proved to hold and that is not trusted.
    pub shown_key: Option<ShownKey>,
    /// Whether the key on record, or where there is none the one that was shown, is revoked.
    pub host_key_revoked: bool,
    /// What the connections there have told.
    pub health: Health,
    /// Counts the changes, for `ETag`; health is none.
    pub version: i64,
}

impl Instance {
    /// The most instances on the way to one.
    pub const JUMPS: usize = 8;

    /// What is known of its host key.
    pub fn host_key_state(&self) -> HostKeyState {
        match (&self.host_key, &self.shown_key) {
            _ if self.host_key_revoked => HostKeyState::Revoked,
            // Refused although it is the one on record: known_hosts revokes it.
            (Some(key), Some(shown)) if *key == shown.key => HostKeyState::Revoked,
            (Some(_), Some(_)) => HostKeyState::Changed,
            (Some(_), None) => HostKeyState::Trusted,
            (None, _) => HostKeyState::Unknown,
        }
    }

    /// Whether this stands for the same machine as it did then.
    pub fn is_same_machine(&self, then: &Self) -> bool {
        self.ip == then.ip && self.port == then.port
    }

    /// `host`, or `[host]:port` where the port is not 22, as known_hosts and `ssh` write it.
    pub fn address(&self) -> String {
        if self.port == 22 {
            self.ip.clone()
        } else {
            format!("[{}]:{}", self.ip, self.port)
        }
    }
}

/// One instance on the way to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The instance.
    pub instance: Instance,
    /// Keys that it may never have.
    pub revoked: Vec<RevokedKey>,
}

/// What is needed to declare an instance. Can be made only from what was found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// See [`Instance::ip`].
    pub ip: String,
    /// See [`Instance::tag`].
    pub tag: String,
    /// See [`Instance::state`].
    pub state: InstanceState,
    /// See [`Instance::port`].
    pub port: u16,
    /// See [`Instance::jump`].
    pub jump: Option<InstanceId>,
    /// See [`Instance::jump_user`].
    pub jump_user: Option<String>,
    /// See [`Instance::mode`].
    pub mode: Mode,
    /// See [`Instance::labels`].
    pub labels: Labels,
    /// See [`Instance::identity`].
    pub identity: Option<String>,
    /// See [`Instance::approval`].
    pub approval: bool,
}

impl NewInstance {
    /// Checks every field.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = validate::Invalid::default();
        wrong.check("ip", validate::host(&self.ip));
        wrong.check("tag", validate::tag(&self.tag));
        wrong.check("port", validate::port(i64::from(self.port)));
        if let Some(user) = &self.jump_user {
            wrong.check("jump_user", validate::login_user(user));
        }
        wrong.check("labels", label::labels(&self.labels));
        if let Some(identity) = &self.identity {
            wrong.check("identity", validate::reference(identity));
        }
        wrong.finish()
    }
}

/// A partial update of an instance: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceChange {
    /// A new address; forgets the host key on record.
    pub ip: Option<String>,
    /// A new description.
    pub tag: Option<String>,
    /// A new state.
    pub state: Option<InstanceState>,
    /// A new port; forgets the host key on record.
    pub port: Option<u16>,
    /// Another instance to reach it through; `Some(None)` for none.
    pub jump: Option<Option<InstanceId>>,
    /// Another user to log in as there; `Some(None)` for the task's own.
    pub jump_user: Option<Option<String>>,
    /// Another mode for the tasks that are posted from now on.
    pub mode: Option<Mode>,
    /// Other labels, instead of all that there were.
    pub labels: Option<Labels>,
    /// Another identity to log in with; `Some(None)` for the server's own keys.
    pub identity: Option<Option<String>>,
    /// Whether each task there needs a second person's approval.
    pub approval: Option<bool>,
}

impl InstanceChange {
    /// The instance as it would be. A new `ip` or `port` is another machine, so that its host key
    /// and its health start afresh.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each field that is wrong.
    pub fn apply(&self, to: &Instance) -> Result<Instance> {
        let mut next = to.clone();
        if let Some(ip) = &self.ip {
            next.ip.clone_from(ip);
        }
        if let Some(tag) = &self.tag {
            next.tag.clone_from(tag);
        }
        if let Some(state) = self.state {
            next.state = state;
        }
        if let Some(port) = self.port {
            next.port = port;
        }
        if let Some(jump) = self.jump {
            next.jump = jump;
        }
        if let Some(user) = &self.jump_user {
            next.jump_user.clone_from(user);
        }
        if let Some(mode) = self.mode {
            next.mode = mode;
        }
        if let Some(labels) = &self.labels {
            next.labels.clone_from(labels);
        }
        if let Some(identity) = &self.identity {
            next.identity.clone_from(identity);
        }
        if let Some(approval) = self.approval {
            next.approval = approval;
        }
        NewInstance {
            ip: next.ip.clone(),
            tag: next.tag.clone(),
            state: next.state,
            port: next.port,
            jump: next.jump,
            jump_user: next.jump_user.clone(),
            mode: next.mode,
            labels: next.labels.clone(),
            identity: next.identity.clone(),
            approval: next.approval,
        }
        .validate()?;
        if !next.is_same_machine(to) {
            next.host_key = None;
            next.shown_key = None;
            next.host_key_revoked = false;
            next.health = Health::default();
        }
        if next != *to {
            next.version += 1;
        }
        Ok(next)
    }
}
