//! What a run uses of what the store keeps by name: looked up, opened and noted when it is used.

use super::Shared;
use super::patience::patiently;
use crate::domain::{
    By, Identity, IdentityKind, Instance, InstanceId, Outcome, SealedPlace, SealedValues,
    SecretValues, Task, TaskId,
};
use crate::ssh::{Failure, LoginKey, Password, ScriptSecret};
use serde_json::json;

/// What something is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A run: it notes each use once.
    Run(TaskId),
    /// A check of an instance.
    Check,
}

/// Where and as whom it is used.
pub struct At<'a> {
    /// On which instance.
    pub instance: &'a Instance,
    /// As which login user.
    pub user: &'a str,
    /// What for.
    pub r#use: Use,
}

/// The key that an instance is logged in to with, where it names one.
///
/// # Errors
/// `start_failed` where it cannot be used there.
pub async fn login_key(shared: &Shared, at: &At<'_>) -> Result<Option<LoginKey>, Failure> {
    let Some(name) = &at.instance.identity else {
        return Ok(None);
    };
    let Some((identity, values)) = find(shared, name, IdentityKind::SshKey).await? else {
        return Err(refused(name, "is no identity of the kind ssh_key here"));
    };
    let values = take(shared, at, &identity, &values).await?;
    Ok(Some(LoginKey {
        name: identity.name,
        fingerprint: identity.fingerprint.unwrap_or_default(),
        value: values.value,
        passphrase: values.passphrase,
    }))
}

/// The password that `become` refers to: of an identity, else of the configuration.
///
/// # Errors
/// `start_failed` where there is none, or it cannot be used there.
pub async fn become_password(
    shared: &Shared,
    at: &At<'_>,
    name: &str,
) -> Result<Password, Failure> {
    let found = find(shared, name, IdentityKind::BecomePassword).await?;
    let Some((identity, values)) = found else {
        return shared.connector.become_password(name).await;
    };
    let values = take(shared, at, &identity, &values).await?;
    Ok(Password::of_identity(
        name,
        values.value,
        identity.host_keys,
    ))
}

/// What a task gives to its script in secret.
///
/// # Errors
/// `start_failed` where one is not there, or cannot be used there.
pub async fn secrets(
    shared: &Shared,
    task: &Task,
    at: &At<'_>,
) -> Result<Vec<ScriptSecret>, Failure> {
    let mut secrets = Vec::new();
    for (variable, name) in &task.secrets {
        let found = find(shared, name, IdentityKind::Secret).await?;
        let Some((identity, values)) = found else {
            return Err(refused(name, "is no identity of the kind secret here"));
        };
        let values = take(shared, at, &identity, &values).await?;
        secrets.push(ScriptSecret {
            variable: variable.clone(),
            name: identity.name,
            value: values.value,
            host_keys: identity.host_keys,
        });
    }
    Ok(secrets)
}

async fn find(
    shared: &Shared,
    name: &str,
    kind: IdentityKind,
) -> Result<Option<(Identity, SealedValues)>, Failure> {
    let found = patiently(shared, || shared.store.sealed_identity(name)).await;
    let found = found.map_err(|error| {
        tracing::error!(identity = name, %error, "cannot read an identity");
        refused(name, "could not be read from the store")
    })?;
    Ok(found.filter(|(identity, _)| identity.kind == kind))
}

/// Opens what may be used there, and notes that first.
async fn take(
    shared: &Shared,
    at: &At<'_>,
    identity: &Identity,
    sealed: &SealedValues,
) -> Result<SecretValues, Failure> {
    let name = &identity.name;
    if !identity.scope.allows(at.user, at.instance.into()) {
        return Err(refused(
            name,
            &format!(
                "is not for {} on instance {}: its scope does not hold that",
                at.user, at.instance.id
            ),
        ));
    }
    let open = |place: SealedPlace, sealed| shared.vault.open(&place.to_string(), sealed);
    let value = open(SealedPlace::Value(identity.id), &sealed.value);
    let passphrase = sealed
        .passphrase
        .as_ref()
        .map(|it| open(SealedPlace::Passphrase(identity.id), it))
        .transpose();
    let (value, passphrase) = value.and_then(|v| Ok((v, passphrase?))).map_err(|error| {
        tracing::error!(identity = %name, %error, cause = ?error.cause(), "cannot open a secret");
        refused(name, "cannot be opened: `wsexec secrets check` says why")
    })?;
    if note(shared, at, identity).await {
        return Ok(SecretValues { value, passphrase });
    }
    Err(refused(
        name,
        "is not used, as that could not be put on record",
    ))
}

/// Notes a use, where the run has not noted it yet.
async fn note(shared: &Shared, at: &At<'_>, identity: &Identity) -> bool {
    let used = match at.r#use {
        Use::Run(task) => Some((task, identity.id)),
        Use::Check => None,
    };
    if used.is_some_and(|used| shared.used().contains(&used)) {
        return true;
    }
    let by = By::server(shared.clock.now());
    let detail = json!({
        "name": identity.name, "kind": identity.kind.as_str(), "instance": at.instance.id.0,
        "user": at.user, "task": used.map(|(task, _)| task.0),
    });
    match shared.store.note_identity_use(identity, detail, by).await {
        Ok(()) => {
            shared.used().extend(used);
            true
        }
        Err(error) => {
            tracing::error!(identity = %identity.name, %error, "cannot note the use of an identity");
            false
        }
    }
}

fn refused(name: &str, why: &str) -> Failure {
    Failure::new(
        Outcome::StartFailed,
        format!("The identity {name} {why}, so nothing was run."),
    )
}

/// The instance as it is now.
///
/// # Errors
/// `start_failed` where it is gone, or the store does not tell.
pub async fn instance_of(shared: &Shared, id: InstanceId) -> Result<Instance, Failure> {
    let found = patiently(shared, || shared.store.instance(id)).await;
    let found = found.ok().flatten();
    found.ok_or_else(|| {
        let reason = "The store did not tell what the instance is, so nothing was run.";
        Failure::new(Outcome::StartFailed, reason)
    })
}
