use super::{Actor, Service};
use crate::domain::{Result, Role, Secret, User};

impl Service {
    /// Every user, by name.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn users(&self, _actor: &Actor) -> Result<Vec<User>> {
        unimplemented!()
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Invalid` for a bad name or password, `Conflict` where the name is taken.
    pub async fn add_user(
        &self,
        _actor: &Actor,
        _name: &str,
        _role: Role,
        _password: &Secret,
    ) -> Result<User> {
        unimplemented!()
    }

    /// Sets a password; it counts from the next request on, and sessions of that user end.
    ///
    /// # Errors
    /// `Invalid` for a bad password, `NotFound` for an unknown name.
    pub async fn set_password(
        &self,
        _actor: &Actor,
        _name: &str,
        _password: &Secret,
    ) -> Result<()> {
        unimplemented!()
    }

    /// Removes a user, who is out at the next request.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub async fn remove_user(&self, _actor: &Actor, _name: &str) -> Result<()> {
        unimplemented!()
    }

    /// On a store without users: adds `admin` with a random password, and gives it.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn ensure_first_user(&self) -> Result<Option<(User, Secret)>> {
        unimplemented!()
    }
}
