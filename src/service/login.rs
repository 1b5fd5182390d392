use super::{Actor, Service};
use crate::domain::{Result, Secret};
use std::net::IpAddr;

impl Service {
    /// Checks a name and a password. What was right before costs no argon2 again, until the
    /// password changes.
    ///
    /// # Errors
    /// `Unauthenticated` where they are wrong, at the same cost and in the same words for unknown
    /// users; `TooMany` where this network guesses, or more checks wait than can be queued.
    pub async fn authenticate(
        &self,
        _name: &str,
        _password: &Secret,
        _from: IpAddr,
    ) -> Result<Actor> {
        unimplemented!()
    }

    /// Logs in for the pages: gives the cookie's value, 43 characters of URL-safe base64.
    ///
    /// # Errors
    /// As [`Service::authenticate`].
    pub async fn open_session(
        &self,
        _name: &str,
        _password: &Secret,
        _from: IpAddr,
    ) -> Result<(Actor, Secret)> {
        unimplemented!()
    }

    /// Whose session it is; nobody's where it is unknown, expired or logged out.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn session(&self, _token: &Secret) -> Result<Option<Actor>> {
        unimplemented!()
    }

    /// Logs out: the session is gone for every request from now on.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn close_session(&self, _token: &Secret) -> Result<()> {
        unimplemented!()
    }
}
