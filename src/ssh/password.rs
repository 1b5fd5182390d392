use super::{Failure, files};
use crate::config::BecomePassword;
use crate::domain::{Outcome, Secret, wildcard};

/// A password that sudo may ask for, and the machines that may be told it: whoever can declare an
/// instance could else let it be asked for by a machine of their own.
#[derive(Debug, Clone)]
pub struct Password {
    name: String,
    secret: Secret,
    hosts: Vec<String>,
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
                hosts,
            }),
            Err(error) => Err(refused(
                name,
                &format!("cannot be read from its file: {error}"),
            )),
        }
    }

    /// The password, for the machine at this place.
    ///
    /// # Errors
    /// `start_failed` where it is not for that one.
    pub(super) fn tell(&self, place: &str) -> Result<&Secret, Failure> {
        let place = place.to_ascii_lowercase();
        match self.hosts.iter().any(|it| wildcard(it, &place)) {
            true => Ok(&self.secret),
            false => Err(refused(
                &self.name,
                &format!("is not for {place}: its hosts do not name that"),
            )),
        }
    }
}

pub(super) fn refused(name: &str, why: &str) -> Failure {
    let reason = format!("The password ssh.become_passwords.{name} {why}.");
    Failure::new(Outcome::StartFailed, reason)
}
