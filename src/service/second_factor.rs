use super::{Action, Actor, Service};
use crate::auth::{hash_recovery_code, new_recovery_codes, new_totp_secret, totp_step, totp_url};
use crate::domain::{
    By, Error, Kind, Result, Sealed, SealedPlace, SecondFactor, Secret, SessionId, User, UserId,
};
use std::net::IpAddr;
use std::time::Instant;

/// What an authenticator is told once.
pub struct Enrolment {
    /// The secret in base32, to be typed.
    pub secret: Secret,
    /// The same as an `otpauth:` address, to be shown as a QR code.
    pub url: Secret,
}

impl Service {
    /// One's own authenticator, confirmed or not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn second_factor(&self, actor: &Actor) -> Result<Option<SecondFactor>> {
        actor.require(Action::OwnAccount)?;
        let user = self.own_user(actor).await?;
        self.inner.store.second_factor(user.id).await
    }

    /// Whether the server can keep an authenticator's secret.
    ///
    /// # Errors
    /// `Conflict` that says what to do where there is no master key.
    pub async fn require_vault(&self) -> Result<()> {
        let vault = self.inner.vault.clone();
        blocking(move || vault.require_key()).await
    }

    /// Makes a secret for one's own authenticator, which counts once a first code has come.
    ///
    /// # Errors
    /// `Unconfirmed`; `Conflict` where there is an authenticator, or no master key.
    pub async fn begin_second_factor(&self, actor: &Actor) -> Result<()> {
        let user = self.own_factor(actor).await?;
        self.begin_for(user.id, actor.by(self.now())).await
    }

    /// What one's own authenticator is to be told, while it is not confirmed.
    ///
    /// # Errors
    /// `Unconfirmed`; `Conflict` where its master key is gone.
    pub async fn enrolment(&self, actor: &Actor) -> Result<Option<Enrolment>> {
        let user = self.own_factor(actor).await?;
        self.enrolment_of(&user).await
    }

    /// Takes the first code of one's own authenticator, and gives the recovery codes, which are
    /// not shown again. One's other sessions end.
    ///
    /// # Errors
    /// `Invalid` where the code is wrong; `Unconfirmed`; `TooMany`.
    pub async fn confirm_second_factor(&self, actor: &Actor, code: &str) -> Result<Vec<Secret>> {
        let user = self.own_factor(actor).await?;
        let by = actor.by(self.now());
        self.confirm_for(&user, code, actor.session(), by).await
    }

    /// New recovery codes in the place of those of before.
    ///
    /// # Errors
    /// `Unconfirmed`; `Conflict` where there is no authenticator.
    pub async fn renew_recovery_codes(&self, actor: &Actor) -> Result<Vec<Secret>> {
        let user = self.own_factor(actor).await?;
        let (codes, hashes) = recovery_codes();
        let by = actor.by(self.now());
        let renewed = self.inner.store.renew_recovery_codes(user.id, hashes, by);
        match renewed.await? {
            true => Ok(codes),
            false => Err(none()),
        }
    }

    /// Switches one's own second factor off. One's other sessions end.
    ///
    /// # Errors
    /// `Unconfirmed`; `Conflict` where one's role needs it, or there is none.
    pub async fn remove_second_factor(&self, actor: &Actor) -> Result<()> {
        let user = self.own_factor(actor).await?;
        if self.needs_second_factor(&user) && user.second_factor {
            return Err(Error::conflict(
                "Your role needs a second factor here. An admin can remove it, and your next login \
                 sets up another.",
            ));
        }
        let by = actor.by(self.now());
        let removed = self
            .inner
            .store
            .remove_second_factor(user.id, actor.session(), by);
        removed.await?.then_some(()).ok_or_else(none)
    }

    /// Takes the second factor of a user away who has lost it. Their sessions end.
    ///
    /// # Errors
    /// `Forbidden`, `Unconfirmed`; `Conflict` where there is none.
    pub async fn remove_second_factor_of(&self, actor: &Actor, user: UserId) -> Result<()> {
        actor.require_confirmed(Action::ManageUsers, self.now())?;
        let by = actor.by(self.now());
        let keep = actor.session().filter(|_| actor.user() == Some(user));
        let removed = self.inner.store.remove_second_factor(user, keep, by);
        removed.await?.then_some(()).ok_or_else(none)
    }

    /// Whether a login of this user needs a second factor, whether there is one or not.
    pub(super) fn needs_second_factor(&self, user: &User) -> bool {
        self.inner.rules.second_factor.contains(&user.role)
    }

    pub(super) async fn begin_for(&self, user: UserId, by: By) -> Result<()> {
        let vault = self.inner.vault.clone();
        let seal = move || vault.seal(&place(user), &new_totp_secret());
        let sealed: Sealed = blocking(seal).await?;
        self.inner.store.begin_second_factor(user, sealed, by).await
    }

    pub(super) async fn enrolment_of(&self, user: &User) -> Result<Option<Enrolment>> {
        let found = self.inner.store.second_factor(user.id).await?;
        let Some(factor) = found.filter(|it| !it.confirmed) else {
            return Ok(None);
        };
        let secret = self.totp_secret(user.id, factor).await?;
        let broken = || Error::internal("the secret of an authenticator cannot be read");
        let url = totp_url(&secret, &user.name).ok_or_else(broken)?;
        Ok(Some(Enrolment { secret, url }))
    }

    pub(super) async fn confirm_for(
        &self,
        user: &User,
        code: &str,
        keep: Option<SessionId>,
        by: By,
    ) -> Result<Vec<Secret>> {
        self.slow_down(user, &by)?;
        let from = by.from;
        let found = self.inner.store.second_factor(user.id).await?;
        let factor = found.filter(|it| !it.confirmed).ok_or_else(none)?;
        let secret = self.totp_secret(user.id, factor).await?;
        let (codes, hashes) = recovery_codes();
        if let Some(step) = totp_step(&secret, code, by.at)
            && self
                .inner
                .store
                .confirm_second_factor((user.id, step), hashes, keep, by)
                .await?
        {
            self.note_right_code(user, from);
            return Ok(codes);
        }
        tracing::warn!(user = user.name, "a code of a second factor was wrong");
        Err(Error::field(
            "code",
            "is not the one that the authenticator shows now; look whether its clock is right",
        ))
    }

    /// Takes a code of a user's authenticator, or a recovery code; each counts once.
    ///
    /// # Errors
    /// `Unauthenticated` where it is wrong; `TooMany` where somebody guesses.
    pub(super) async fn check_code(&self, user: &User, code: &str, by: By) -> Result<()> {
        self.slow_down(user, &by)?;
        let from = by.from;
        let found = self.inner.store.second_factor(user.id).await?;
        let factor = found.filter(|it| it.confirmed).ok_or_else(wrong_code)?;
        let is_short = code.chars().filter(char::is_ascii_alphanumeric).count() <= 6;
        let right = if is_short {
            let secret = self.totp_secret(user.id, factor).await?;
            match totp_step(&secret, code, by.at) {
                Some(step) => self.inner.store.take_step(user.id, step).await?,
                None => false,
            }
        } else {
            let hash = hash_recovery_code(code);
            self.inner
                .store
                .take_recovery_code(user.id, hash, by)
                .await?
        };
        if right {
            self.note_right_code(user, from);
            return Ok(());
        }
        tracing::warn!(user = user.name, "a code of a second factor was wrong");
        Err(wrong_code())
    }

    /// Counts a try at a code.
    fn slow_down(&self, user: &User, by: &By) -> Result<()> {
        let Some(from) = by.from else { return Ok(()) };
        let admitted = self
            .inner
            .throttle
            .admit(from, &guessed(user), Instant::now());
        admitted.map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
            let many = "Too many wrong codes. Wait, then try again.";
            Error::new(Kind::TooMany, many).retry_after_seconds(seconds)
        })
    }

    fn note_right_code(&self, user: &User, from: Option<IpAddr>) {
        if let Some(from) = from {
            let throttle = &self.inner.throttle;
            throttle.succeeded(from, &guessed(user), Instant::now());
        }
    }

    async fn totp_secret(&self, user: UserId, factor: SecondFactor) -> Result<Secret> {
        let vault = self.inner.vault.clone();
        blocking(move || vault.open(&place(user), &factor.sealed)).await
    }

    /// Who asks, where they may change their second factor now.
    async fn own_factor(&self, actor: &Actor) -> Result<User> {
        actor.require_confirmed(Action::OwnAccount, self.now())?;
        if actor.session().is_none() {
            return Err(Error::new(
                Kind::Forbidden,
                "A second factor is for the pages: log in there to change it.",
            ));
        }
        self.own_user(actor).await
    }
}

/// Where a secret is sealed for.
fn place(user: UserId) -> String {
    SealedPlace::SecondFactor(user).to_string()
}

/// What the throttle knows the codes of a user by; no login name has a blank.
fn guessed(user: &User) -> String {
    format!("code of {}", user.id)
}

fn recovery_codes() -> (Vec<Secret>, Vec<[u8; 32]>) {
    let codes = new_recovery_codes();
    let hashes = codes.iter().map(|it| hash_recovery_code(it.expose()));
    let hashes = hashes.collect();
    (codes, hashes)
}

fn none() -> Error {
    Error::conflict("There is no second factor that this could be done to.")
}

fn wrong_code() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "The code is wrong, or was used before. Take the next one.",
    )
}

/// A vault that finds its key files changed reads them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Error::internal)?
}
