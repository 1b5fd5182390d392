use super::{Failure, files};
use crate::config::BecomePassword;
use crate::domain::{Outcome, Secret, wildcard};

/// A password that sudo may ask for, and the machines that may be told it: whoever can declare an
/// instance could else let it be asked for by a machine of their own.
#[derive(Debug, Clone)]
pub struct Password {
    name: String,
    secret: Secret,
    to: To,
}

/// Which machines may be told it.
#[derive(Debug, Clone)]
enum To {
    /// Those at these places, as known_hosts names hosts.
    Hosts(Vec<String>),
    /// Those that have proved to hold one of these keys; all where there are none.
    HostKeys(Vec<String>),
}

impl Password {
    /// Reads one from its file.
    ///
    /// # Errors
    /// `start_failed` where the file cannot be used.
    pub(super) async fn read(name: &str, configured: BecomePassword) -> Result<Self, Failure> {
        let BecomePassword { file, hosts } = configured;
        let read = tokio::task::spawn_blocking(move || files::read_secret(&file)).await;
        match read.map_err(std::io::Error::other).flatten() {
            Ok(secret) => Ok(Self {
                name: name.to_owned(),
                secret,
                to: To::Hosts(hosts),
            }),
            Err(error) => Err(refused(
                name,
                &format!("cannot be read from its file: {error}"),
            )),
        }
    }

    /// One that is kept by name, for the machines that hold one of these host keys; for all where
    /// there are none.
    pub fn of_identity(name: &str, secret: Secret, host_keys: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            secret,
            to: To::HostKeys(host_keys),
        }
    }

    /// The password, for the machine at this place that has proved to hold this key.
    ///
    /// # Errors
    /// `start_failed` where it is not for that one.
    pub(super) fn tell(&self, place: &str, key: &str) -> Result<&Secret, Failure> {
        match &self.to {
            To::Hosts(hosts) => {
                let place = place.to_ascii_lowercase();
                match hosts.iter().any(|it| wildcard(it, &place)) {
                    true => Ok(&self.secret),
                    false => Err(refused(
                        &self.name,
                        &format!("is not for {place}: its hosts do not name that"),
                    )),
                }
            }
            To::HostKeys(keys) => {
                may_hear(&self.name, keys, key)?;
                Ok(&self.secret)
            }
        }
    }
}

/// Whether a secret may be told to the machine that has proved to hold this key.
///
/// # Errors
/// `start_failed` where it is for others only.
pub(super) fn may_hear(name: &str, keys: &[String], key: &str) -> Result<(), Failure> {
    if keys.is_empty() || keys.iter().any(|it| it == key) {
        return Ok(());
    }
    let reason = format!(
        "The identity {name} is not for this machine: it holds the host key {key}, which is none \
         of those that the identity names."
    );
    Err(Failure::new(Outcome::StartFailed, reason))
}

pub(super) fn refused(name: &str, why: &str) -> Failure {
    let reason = format!("The password ssh.become_passwords.{name} {why}.");
    Failure::new(Outcome::StartFailed, reason)
}
