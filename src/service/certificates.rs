use super::{Actor, Service};
use crate::domain::{ClientCertificate, Error, Kind, Result, Via};
use crate::store::UserKey;
use std::net::IpAddr;

impl Service {
    /// Logs in whom a client certificate names that the handshake has verified. Asked at each
    /// request: the end of the certificate, and a user who is disabled or removed, count from the
    /// next one on. The first one of a connection is a login on record.
    ///
    /// # Errors
    /// `Unauthenticated` where it counts no more, or names nobody who may log in.
    pub async fn certificate_login(
        &self,
        certificate: &ClientCertificate,
        from: IpAddr,
    ) -> Result<Actor> {
        if !certificate.counts(self.now()) {
            return Err(ended());
        }
        let Some(name) = &certificate.user else {
            return Err(refused("The client certificate does not name one user."));
        };
        let key = UserKey::Name(name.clone());
        let user = self.inner.store.user(key).await?;
        let Some(user) = user.filter(|user| !user.disabled) else {
            return Err(refused(
                "The client certificate names nobody who may log in here.",
            ));
        };
        let actor = Actor::logged_in(&user, Via::Certificate, from);
        let actor = actor.by_certificate(certificate.clone());
        if !certificate.recorded.is_up() {
            let by = actor.by(self.now());
            let store = &self.inner.store;
            store.note_login(&user, "certificate", by).await?;
            certificate.recorded.raise();
        }
        Ok(actor)
    }
}

pub(super) fn ended() -> Error {
    refused("The client certificate of this connection counts no more. Connect again.")
}

fn refused(why: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, why)
}
