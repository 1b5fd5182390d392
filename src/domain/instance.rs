use super::{HostKey, Result, validate};
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
    /// The key that it must show; none until its first connection.
    pub host_key: Option<HostKey>,
    /// Counts the changes, for `ETag`.
    pub version: i64,
}

impl Instance {
    /// `host`, or `[host]:port` where the port is not 22, as known_hosts and `ssh` write it.
    pub fn address(&self) -> String {
        if self.port == 22 {
            self.ip.clone()
        } else {
            format!("[{}]:{}", self.ip, self.port)
        }
    }
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
}

impl InstanceChange {
    /// The instance as it would be. A new `ip` or `port` is another machine, so that its host key
    /// starts afresh.
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
        NewInstance {
            ip: next.ip.clone(),
            tag: next.tag.clone(),
            state: next.state,
            port: next.port,
        }
        .validate()?;
        if next.ip != to.ip || next.port != to.port {
            next.host_key = None;
        }
        if next != *to {
            next.version += 1;
        }
        Ok(next)
    }
}
