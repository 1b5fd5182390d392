use super::{Action, Actor, Service};
use crate::domain::{Error, Result, Session, SessionId, UserId};

impl Service {
    /// One's own sessions of the pages, newest first; those of somebody else for who manages users.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn sessions(&self, actor: &Actor, of: Option<UserId>) -> Result<Vec<Session>> {
        let of = self.whose(actor, of)?;
        let life = self.inner.rules.session;
        self.inner.store.sessions(of, life, self.now()).await
    }

    /// Ends one of one's own sessions; anybody's for who manages users. It is of no use from the
    /// next request on.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` for one's own by an API token.
    pub async fn end_session(&self, actor: &Actor, id: SessionId) -> Result<()> {
        actor.require(Action::OwnAccount)?;
        let owner = actor.owner();
        if owner.is_some() {
            actor.require_no_token()?;
        }
        let by = actor.by(self.now());
        match self.inner.store.end_session(id, owner, by).await? {
            true => Ok(()),
            false => Err(Error::not_found("There is no such session.")),
        }
    }
}
