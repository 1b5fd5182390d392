use super::{Action, Actor, Service};
use crate::domain::{
    Error, Identity, IdentityChange, IdentityId, IdentityKind, IfMatch, Kind, NewIdentity, NewTask,
    Result, SealedPlace, SealedValues, Secret, SecretValues,
};
use crate::engine::{PublicHalf, generate_key, public_half};
use crate::store::IdentityRow;
use crate::vault::Vault;

impl Service {
    /// Every identity, by name: never a secret.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn identities(&self, actor: &Actor) -> Result<Vec<Identity>> {
        actor.require(Action::ReadIdentities)?;
        self.inner.store.identities().await
    }

    /// One identity.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn identity(&self, actor: &Actor, id: IdentityId) -> Result<Identity> {
        actor.require(Action::ReadIdentities)?;
        let found = self.inner.store.identity(id);
        found.await?.ok_or_else(no_such_identity)
    }

    /// One identity, by its name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn identity_named(&self, actor: &Actor, name: &str) -> Result<Identity> {
        actor.require(Action::ReadIdentities)?;
        let found = self.inner.store.identity_named(name);
        found.await?.ok_or_else(no_such_identity)
    }

    /// Makes an identity. A key that no secret is given for is made here, and its private half is
    /// never shown.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` where the name is taken, or there is no master key.
    pub async fn create_identity(&self, actor: &Actor, new: NewIdentity) -> Result<Identity> {
        actor.require_confirmed(Action::ManageIdentities, self.now())?;
        new.validate()?;
        self.inner.vault.require_key()?;
        let (values, public) = match (new.kind, new.values) {
            (_, Some(values)) => known(new.kind, values, &new.name).await?,
            (_, None) => generated(&new.name),
        };
        let row = IdentityRow {
            name: new.name,
            kind: new.kind,
            scope: new.scope,
            host_keys: new.host_keys,
            public,
        };
        let vault = self.inner.vault.clone();
        let seal = move |id| sealed(&vault, id, &values);
        let by = actor.by(self.now());
        let made = self.inner.store.add_identity(row, seal, by).await?;
        self.secrets_changed().await;
        Ok(made)
    }

    /// Changes what an identity is for, or its secret.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PreconditionFailed`; `Conflict` where there is no master key.
    pub async fn change_identity(
        &self,
        actor: &Actor,
        id: IdentityId,
        change: IdentityChange,
        if_match: Option<IfMatch>,
    ) -> Result<Identity> {
        actor.require_confirmed(Action::ManageIdentities, self.now())?;
        let old = self.identity(actor, id).await?;
        change.validate(old.kind)?;
        let (values, public) = match change.values {
            Some(values) => {
                let (values, public) = known(old.kind, values, &old.name).await?;
                (Some(sealed(&self.inner.vault, id, &values)?), public)
            }
            None => (None, old.public_key.zip(old.fingerprint)),
        };
        let row = IdentityRow {
            name: old.name,
            kind: old.kind,
            scope: change.scope.unwrap_or(old.scope),
            host_keys: change.host_keys.unwrap_or(old.host_keys),
            public,
        };
        // What was read above is what is changed.
        let if_match = if_match.unwrap_or(IfMatch::Versions(vec![old.version]));
        let by = actor.by(self.now());
        let changed = self
            .inner
            .store
            .change_identity(id, (row, values), Some(if_match), by);
        let changed = changed.await?.ok_or_else(no_such_identity)?;
        self.secrets_changed().await;
        Ok(changed)
    }

    /// Removes an identity with its secret.
    ///
    /// # Errors
    /// `NotFound`, `PreconditionFailed`; `Conflict` where an instance uses it.
    pub async fn remove_identity(
        &self,
        actor: &Actor,
        id: IdentityId,
        if_match: Option<IfMatch>,
    ) -> Result<()> {
        actor.require_confirmed(Action::ManageIdentities, self.now())?;
        let by = actor.by(self.now());
        match self.inner.store.remove_identity(id, if_match, by).await? {
            true => Ok(()),
            false => Err(no_such_identity()),
        }
    }

    /// Whether a task may be given the secrets that it names. Its run asks again.
    ///
    /// # Errors
    /// `Invalid` where one is not there; `Forbidden` where one is not for this user on this
    /// instance.
    pub(super) async fn check_secrets(&self, actor: &Actor, new: &NewTask) -> Result<()> {
        if new.secrets.is_empty() {
            return Ok(());
        }
        let store = &self.inner.store;
        // What the caller does not see is not there, as for a task without secrets.
        let seen = store.seen_instance(new.instance, actor.scopes().clone());
        let Some(instance) = seen.await? else {
            return Ok(());
        };
        for (variable, name) in &new.secrets {
            let found = store.identity_named(name).await?;
            let Some(it) = found.filter(|it| it.kind == IdentityKind::Secret) else {
                let wrong = format!("{variable}: there is no identity {name} of the kind secret");
                return Err(Error::field("secrets", wrong));
            };
            if !it.scope.allows(&new.user, (&instance).into()) {
                let user = &new.user;
                let why =
                    format!("scope of the identity {name} does not hold {user} on this instance");
                return Err(Error::new(Kind::Forbidden, format!("The {why}."))
                    .about("secrets", format!("{variable}: the {why}")));
            }
        }
        Ok(())
    }

    async fn secrets_changed(&self) {
        if let Some(engine) = &self.inner.engine {
            engine.secrets_changed().await;
        }
    }
}

type Known = (SecretValues, Option<(String, String)>);

/// A secret that somebody brought; a key has to open.
async fn known(kind: IdentityKind, values: SecretValues, name: &str) -> Result<Known> {
    if kind != IdentityKind::SshKey {
        return Ok((values, None));
    }
    let (comment, open) = (name.to_owned(), values.clone());
    let half = move || public_half(&open.value, open.passphrase.as_ref(), &comment);
    let half = tokio::task::spawn_blocking(half).await;
    let half = half.map_err(|_| Error::field("value", "is no private key that can be read"))?;
    let PublicHalf { line, fingerprint } = half.map_err(|why| {
        let field = match why.contains("passphrase") {
            true => "passphrase",
            false => "value",
        };
        Error::field(field, format!("the key {why}"))
    })?;
    Ok((values, Some((line, fingerprint))))
}

fn generated(name: &str) -> Known {
    let (value, half) = generate_key(name);
    let values = SecretValues {
        value,
        passphrase: None,
    };
    (values, Some((half.line, half.fingerprint)))
}

fn sealed(vault: &Vault, id: IdentityId, values: &SecretValues) -> Result<SealedValues> {
    let seal = |place: SealedPlace, secret: &Secret| vault.seal(&place.to_string(), secret);
    let passphrase = values.passphrase.as_ref();
    Ok(SealedValues {
        value: seal(SealedPlace::Value(id), &values.value)?,
        passphrase: passphrase
            .map(|it| seal(SealedPlace::Passphrase(id), it))
            .transpose()?,
    })
}

fn no_such_identity() -> Error {
    Error::not_found("There is no such identity.")
}
