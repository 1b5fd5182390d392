use super::login::wrong;
use super::{Actor, Service};
use crate::domain::{Error, Kind, Result, Secret, User};
use crate::store::UserKey;
use std::net::IpAddr;

/// What somebody shows who uses a session, to prove that it is still them.
pub struct Proof {
    /// The password.
    pub password: Secret,
    /// A code of the authenticator, or a recovery code, where they have a second factor.
    pub code: String,
}

impl Service {
    /// The user who asks, as they are now.
    ///
    /// # Errors
    /// `Forbidden` for the command line, which is none; `Unauthenticated` where they are gone.
    pub async fn own_user(&self, actor: &Actor) -> Result<User> {
        let nobody = || Error::new(Kind::Forbidden, "The command line is no user.");
        let id = actor.user().ok_or_else(nobody)?;
        let found = self.inner.store.user(UserKey::Id(id)).await?;
        found.ok_or_else(|| Error::new(Kind::Unauthenticated, "Log in again."))
    }

    /// For a page whose form will do something dangerous: better asked before it is filled in
    /// than after.
    ///
    /// # Errors
    /// `Unconfirmed`; what [`Actor::may`] says no to.
    pub fn require_confirmed(&self, actor: &Actor, action: super::Action) -> Result<()> {
        actor.require_confirmed(action, self.now())
    }

    /// Notes that who uses a session has proved again who they are, which lets them do what is
    /// dangerous for a while.
    ///
    /// # Errors
    /// `Unauthenticated` where the proof is wrong; `TooMany` where this network guesses.
    pub async fn confirm(&self, actor: &Actor, proof: &Proof, from: IpAddr) -> Result<()> {
        let no_session = || Error::conflict("Only a session of the pages can be confirmed.");
        let session = actor.session().ok_or_else(no_session)?;
        let (user, _) = self
            .check_password(actor.name(), &proof.password, from)
            .await?;
        if Some(user.id) != actor.user() {
            return Err(wrong());
        }
        let by = actor.by(self.now());
        if user.second_factor {
            self.check_code(&user, &proof.code, by.clone()).await?;
        }
        if self
            .inner
            .store
            .confirm_session(session, user.id, by)
            .await?
        {
            Ok(())
        } else {
            Err(Error::new(Kind::Unauthenticated, "Log in again."))
        }
    }
}
