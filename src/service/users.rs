use super::login::busy;
use super::{Action, Actor, Service};
use crate::domain::{
    Error, IfMatch, Invalid, Kind, NewUser, Result, Role, Scope, Secret, User, UserChange, UserId,
    new_password, random_token, subject, username,
};
use crate::store::{self, UserKey, UserUpdate};

/// The name of the user that a new store begins with.
const FIRST_USER: &str = "admin";
/// What is in no password here, beside the name of its user.
const OUR_NAME: &str = "wsexec";

impl Service {
    /// Every user, by name.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn users(&self, actor: &Actor) -> Result<Vec<User>> {
        actor.require(Action::ManageUsers)?;
        self.inner.store.users().await
    }

    /// One user.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`.
    pub async fn user(&self, actor: &Actor, id: UserId) -> Result<User> {
        actor.require(Action::ManageUsers)?;
        let found = self.inner.store.user(UserKey::Id(id)).await?;
        found.ok_or_else(no_such_user)
    }

    /// Oneself; none for the command line.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn myself(&self, actor: &Actor) -> Result<Option<User>> {
        match actor.user() {
            Some(id) => self.inner.store.user(UserKey::Id(id)).await,
            None => Ok(None),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Invalid` for a bad name, password or subject; `Conflict` where the name or the subject is
    /// taken.
    pub async fn create_user(&self, actor: &Actor, new: NewUser) -> Result<User> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let mut wrong = Invalid::default();
        wrong.check("name", username(&new.name));
        if let Some(it) = &new.subject {
            wrong.check("subject", subject(it));
        }
        if let Some(password) = &new.password {
            wrong.check("password", new_password(password.expose()));
        }
        wrong.finish()?;
        let password_hash = match &new.password {
            Some(password) => Some(self.hash_password("password", password, &new.name).await?),
            None => None,
        };
        let new = store::NewUser {
            name: new.name,
            role: new.role,
            scope: new.scope,
            password_hash,
            subject: new.subject.map(|it| self.linked(it)),
            from_provider: false,
        };
        self.inner.store.add_user(new, actor.by(self.now())).await
    }

    /// Adds a user with a password.
    ///
    /// # Errors
    /// As [`Service::create_user`].
    pub async fn add_user(
        &self,
        actor: &Actor,
        name: &str,
        (role, scope): (Role, Scope),
        password: &Secret,
    ) -> Result<User> {
        let new = NewUser {
            name: name.to_owned(),
            role,
            scope,
            password: Some(password.clone()),
            subject: None,
        };
        self.create_user(actor, new).await
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
    /// `NotFound`, `PreconditionFailed`; `Conflict` where no admin would be left; `Forbidden` for
    /// oneself by an API token.
    pub async fn change_user(
        &self,
        actor: &Actor,
        id: UserId,
        change: UserChange,
        if_match: Option<IfMatch>,
    ) -> Result<User> {
        let change = (change, None);
        self.update_user(actor, id, change, if_match).await
    }

    /// As [`Service::change_user`], perhaps with a new password.
    ///
    /// # Errors
    /// As [`Service::change_user`]; `Invalid` for a bad password.
    pub async fn update_user(
        &self,
        actor: &Actor,
        id: UserId,
        (mut change, password): (UserChange, Option<Secret>),
        if_match: Option<IfMatch>,
    ) -> Result<User> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        if actor.user() == Some(id) {
            actor.require_no_token()?;
        }
        change.subject = change.subject.map(|it| it.map(|it| self.linked(it)));
        if let Some(Some(it)) = &change.subject {
            let mut wrong = Invalid::default();
            wrong.check("subject", subject(it));
            wrong.finish()?;
        }
        let password_hash = match &password {
            Some(password) => {
                let name = self.user(actor, id).await?.name;
                Some(self.hash_password("password", password, &name).await?)
            }
            None => None,
        };
        let update = UserUpdate {
            change,
            password_hash,
        };
        let by = actor.by(self.now());
        let changed = self.inner.store.change_user(id, update, if_match, by);
        let changed = changed.await?.ok_or_else(no_such_user)?;
        if password.is_some() {
            self.password_changed(&changed.name);
        }
        Ok(changed)
    }

    /// Sets a password; it counts from the next request on, and what that user is logged in with
    /// ends.
    ///
    /// # Errors
    /// As [`Service::update_user`].
    pub async fn set_password(&self, actor: &Actor, id: UserId, password: &Secret) -> Result<()> {
        let change = (UserChange::default(), Some(password.clone()));
        self.update_user(actor, id, change, None).await?;
        Ok(())
    }

    /// Sets one's own password; all that one is logged in with ends, this login too.
    ///
    /// # Errors
    /// `Invalid` where the old one is wrong or the new one bad; `TooMany` as at a login;
    /// `Forbidden` by an API token.
    pub async fn change_own_password(
        &self,
        actor: &Actor,
        old: &Secret,
        new: &Secret,
    ) -> Result<()> {
        actor.require(Action::OwnAccount)?;
        actor.require_no_token()?;
        let (Some(id), Some(from)) = (actor.user(), actor.from()) else {
            return Err(no_such_user());
        };
        let checked = self.check_password(actor.name(), old, from).await;
        if let Err(error) = checked {
            return Err(match error.kind() {
                Kind::Unauthenticated => {
                    self.own_password_refused(actor, from).await;
                    Error::field("old", "is not the password")
                }
                _ => error,
            });
        }
        let hash = self.hash_password("new", new, actor.name()).await?;
        let update = UserUpdate {
            change: UserChange::default(),
            password_hash: Some(hash),
        };
        let by = actor.by(self.now());
        let changed = self.inner.store.change_user(id, update, None, by);
        changed.await?.ok_or_else(no_such_user)?;
        self.password_changed(actor.name());
        Ok(())
    }

    /// The hash of a password that somebody is to have.
    async fn hash_password(
        &self,
        field: &'static str,
        password: &Secret,
        user: &str,
    ) -> Result<Secret> {
        new_password(password.expose()).map_err(|why| Error::field(field, why))?;
        let mut words = vec![user.to_owned(), OUR_NAME.to_owned()];
        words.extend_from_slice(&self.inner.rules.names);
        let hash = self.inner.passwords.hash(password, words).await;
        hash.map_err(busy)?.ok_or_else(|| {
            Error::field(
                field,
                "is too easy to guess: take a longer one, or one without common words and patterns",
            )
        })
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

    /// On a store without users: adds `admin` with a random password, and gives it. `tell` gets
    /// name and password first, so that they are known however the rest ends.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer; those of `tell`.
    pub async fn ensure_first_user(
        &self,
        tell: impl FnOnce(&str, &Secret) -> Result<()>,
    ) -> Result<Option<(User, Secret)>> {
        if !self.inner.store.users().await?.is_empty() {
            return Ok(None);
        }
        let password = random_token();
        tell(FIRST_USER, &password)?;
        let hash = self.inner.passwords.hash_random(&password).await;
        let first = store::NewUser {
            name: FIRST_USER.to_owned(),
            role: Role::Admin,
            scope: Scope::default(),
            password_hash: Some(hash.map_err(busy)?),
            subject: None,
            from_provider: false,
        };
        let by = Actor::local().by(self.now());
        match self.inner.store.add_user(first, by).await {
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
