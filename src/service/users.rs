use super::login::busy;
use super::{Action, Actor, Service};
use crate::domain::{
    Error, Invalid, Kind, Result, Role, Secret, User, new_password, random_token, username,
};

/// The name of the user that a new store begins with.
const FIRST_USER: &str = "admin";

impl Service {
    /// Every user, by name.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn users(&self, actor: &Actor) -> Result<Vec<User>> {
        actor.require(Action::ManageUsers)?;
        self.inner.store.users().await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Invalid` for a bad name or password, `Conflict` where the name is taken.
    pub async fn add_user(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        password: &Secret,
    ) -> Result<User> {
        actor.require(Action::ManageUsers)?;
        let mut wrong = Invalid::default();
        wrong.check("name", username(name));
        wrong.check("password", new_password(password.expose()));
        wrong.finish()?;
        let hash = self.inner.passwords.hash(password).await.map_err(busy)?;
        self.inner
            .store
            .add_user(name, role, hash, self.now())
            .await
    }

    /// Sets a password; it counts from the next request on, and sessions of that user end.
    ///
    /// # Errors
    /// `Invalid` for a bad password, `NotFound` for an unknown name.
    pub async fn set_password(&self, actor: &Actor, name: &str, password: &Secret) -> Result<()> {
        actor.require(Action::ManageUsers)?;
        let mut wrong = Invalid::default();
        wrong.check("password", new_password(password.expose()));
        wrong.finish()?;
        let user = self
            .inner
            .store
            .user_by_name(name)
            .await?
            .ok_or_else(no_such_user)?;
        let hash = self.inner.passwords.hash(password).await.map_err(busy)?;
        if self.inner.store.set_password_hash(user.id, hash).await? {
            Ok(())
        } else {
            Err(no_such_user())
        }
    }

    /// Removes a user, who is out at the next request.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub async fn remove_user(&self, actor: &Actor, name: &str) -> Result<()> {
        actor.require(Action::ManageUsers)?;
        if self.inner.store.remove_user(name).await? {
            Ok(())
        } else {
            Err(no_such_user())
        }
    }

    /// On a store without users: adds `admin` with a random password, and gives it.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn ensure_first_user(&self) -> Result<Option<(User, Secret)>> {
        if !self.inner.store.users().await?.is_empty() {
            return Ok(None);
        }
        let password = random_token();
        match self
            .add_user(&Actor::local(), FIRST_USER, Role::Admin, &password)
            .await
        {
            Ok(user) => Ok(Some((user, password))),
            // A command beside us was faster.
            Err(error) if error.kind() == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn no_such_user() -> Error {
    Error::not_found("There is no such user.")
}
