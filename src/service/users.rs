use super::login::busy;
use super::{Action, Actor, Service};
use crate::domain::{
    Error, IfMatch, Invalid, Kind, Result, Role, Scope, Secret, User, UserChange, UserId,
    new_password, random_token, username,
};
use crate::store::{NewUser, UserKey};

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
        (role, scope): (Role, Scope),
        password: &Secret,
    ) -> Result<User> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let mut wrong = Invalid::default();
        wrong.check("name", username(name));
        wrong.check("password", new_password(password.expose()));
        wrong.finish()?;
        let hash = self.inner.passwords.hash(password).await.map_err(busy)?;
        let new = NewUser {
            name: name.to_owned(),
            role,
            scope,
            password_hash: Some(hash),
            subject: None,
        };
        self.inner.store.add_user(new, actor.by(self.now())).await
    }

    /// One user, by its name.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`.
    pub async fn user_named(&self, actor: &Actor, name: &str) -> Result<User> {
        actor.require(Action::ManageUsers)?;
        let found = self.inner.store.user(UserKey::Name(name.to_owned()));
        found.await?.ok_or_else(no_such_user)
    }

    /// Changes a user; what it is logged in with is of no use from then on.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`; `Conflict` where no admin would be left.
    pub async fn change_user(
        &self,
        actor: &Actor,
        id: UserId,
        change: UserChange,
        if_match: Option<IfMatch>,
    ) -> Result<User> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let by = actor.by(self.now());
        let changed = self.inner.store.change_user(id, change, if_match, by);
        changed.await?.ok_or_else(no_such_user)
    }

    /// Sets a password; it counts from the next request on, and sessions of that user end.
    ///
    /// # Errors
    /// `Invalid` for a bad password, `NotFound` for an unknown name.
    pub async fn set_password(&self, actor: &Actor, id: UserId, password: &Secret) -> Result<()> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let mut wrong = Invalid::default();
        wrong.check("password", new_password(password.expose()));
        wrong.finish()?;
        let hash = self.inner.passwords.hash(password).await.map_err(busy)?;
        let by = actor.by(self.now());
        if self.inner.store.set_password_hash(id, hash, by).await? {
            Ok(())
        } else {
            Err(no_such_user())
        }
    }

    /// Removes a user, who is out at the next request.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub async fn remove_user(
        &self,
        actor: &Actor,
        id: UserId,
        if_match: Option<IfMatch>,
    ) -> Result<()> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let by = actor.by(self.now());
        if self.inner.store.remove_user(id, if_match, by).await? {
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
            .add_user(
                &Actor::local(),
                FIRST_USER,
                (Role::Admin, Scope::default()),
                &password,
            )
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
