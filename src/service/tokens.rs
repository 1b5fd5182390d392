use super::{Action, Actor, Service};
use crate::auth::{hash_token, new_api_token};
use crate::domain::{
    Error, Invalid, Kind, NewToken, Result, Secret, Token, TokenId, TokenRequest, User, UserId,
    name,
};
use crate::store::UserKey;

impl Service {
    /// One's own API tokens, newest first; those of somebody else for who manages users.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn tokens(&self, actor: &Actor, of: Option<UserId>) -> Result<Vec<Token>> {
        let of = self.whose(actor, of)?;
        self.inner.store.tokens(of).await
    }

    /// One of one's own API tokens; anybody's for who manages users.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn token(&self, actor: &Actor, id: TokenId) -> Result<Token> {
        actor.require(Action::OwnAccount)?;
        let found = self.inner.store.token_by_id(id, actor.owner());
        found.await?.ok_or_else(no_such_token)
    }

    /// Makes an API token for oneself, or, on the command line, for anybody. Its text is given here
    /// alone.
    ///
    /// # Errors
    /// `Invalid` where its name, role, scope or expiry cannot be: it is no wider than its owner.
    /// `Forbidden` for who uses a token; `Conflict` where the owner has one of that name.
    pub async fn create_token(
        &self,
        actor: &Actor,
        of: Option<UserId>,
        request: TokenRequest,
    ) -> Result<(Token, Secret)> {
        let now = self.now();
        actor.require_confirmed(Action::OwnAccount, now)?;
        actor.require_no_token()?;
        if of.is_some() && actor.user().is_some() && of != actor.user() {
            return Err(Error::new(
                Kind::Forbidden,
                "Tokens are made by their owners.",
            ));
        }
        let owner = of.or(actor.user()).ok_or_else(no_owner)?;
        let owner = self.inner.store.user(UserKey::Id(owner)).await?;
        let new = request.of(&owner.ok_or_else(no_owner)?, now)?;
        let text = new_api_token();
        let (hash, by) = (hash_token(&text), actor.by(now));
        let token = self.inner.store.add_token(new.0, new.1, hash, by).await?;
        Ok((token, text))
    }

    /// Revokes one of one's own API tokens; anybody's for who manages users. It is of no use from
    /// the next request on. Whoever uses a token can revoke that one alone of their own.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<()> {
        let token = self.token(actor, id).await?;
        if actor.token() != Some(id) && actor.user() == Some(token.user) {
            actor.require_no_token()?;
        }
        let by = actor.by(self.now());
        match self.inner.store.revoke_token(id, actor.owner(), by).await? {
            true => Ok(()),
            false => Err(no_such_token()),
        }
    }

    /// Whose credentials are listed: one's own unless it is said.
    pub(super) fn whose(&self, actor: &Actor, of: Option<UserId>) -> Result<Option<UserId>> {
        actor.require(Action::OwnAccount)?;
        if of.is_some() && of != actor.user() {
            actor.require(Action::ManageUsers)?;
        }
        Ok(of.or(actor.user()))
    }
}

impl TokenRequest {
    /// The token that it asks for.
    fn of(self, owner: &User, now: i64) -> Result<(UserId, NewToken)> {
        let mut wrong = Invalid::default();
        wrong.check("name", name(&self.name));
        let role = self.role.unwrap_or(owner.role);
        if role < owner.role {
            let own = owner.role.as_str();
            wrong.add("role", format!("must be no wider than its owner's, {own}"));
        }
        if let Some(rule) = self.scope.first_beyond(&owner.scope) {
            wrong.add(
                "scope",
                format!(
                    "must be no wider than its owner's: {rule} is not in {}",
                    owner.scope
                ),
            );
        }
        let expires = self.expires(now);
        if expires.is_none() {
            let days = Self::LONGEST / (24 * 60 * 60);
            wrong.add(
                "expires",
                format!("must be in the future, within {days} days"),
            );
        }
        wrong.finish()?;
        let new = NewToken {
            name: self.name,
            role,
            scope: self.scope,
            expires: expires.unwrap_or(now),
        };
        Ok((owner.id, new))
    }
}

fn no_such_token() -> Error {
    Error::not_found("There is no such token.")
}

fn no_owner() -> Error {
    Error::not_found("There is no such user.")
}
