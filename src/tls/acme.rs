//! A certificate from an ACME server (RFC 8555). The account, whose key it needs again at each
//! renewal, stands beside the certificate in `acme-account.json` (0600).

use super::certificate::{Certificate, check_pair, now};
use super::challenge::Challenges;
use super::{Error, files};
use crate::config;
use futures_util::FutureExt as _;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long one order may take in all.
const ORDER: Duration = Duration::from_secs(5 * 60);
/// How long the server may take for the validation, and for the certificate.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .timeout(Duration::from_secs(2 * 60));

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// Whether a certificate is to be ordered: the one there is ends soon, is self-issued, lacks a
/// name, or no account was ever made at this directory. Blocks.
///
/// # Errors
/// Where the account is there and cannot be read.
pub(super) fn is_due(
    config: &config::Tls,
    acme: &config::Acme,
    certificate: &Certificate,
) -> Result<bool, Error> {
    let says = certificate.says();
    let lacks = |domain: &String| !says.names.contains(&domain.to_ascii_lowercase());
    if certificate.is_due(now()) || says.self_issued || acme.domains.iter().any(lacks) {
        return Ok(true);
    }
    Ok(kept(config)?.is_none_or(|kept| kept.directory != acme.directory))
}

/// Orders a certificate and puts it in place.
///
/// # Errors
/// Where the server cannot be reached, refuses, or cannot validate one of the names; where a file
/// cannot be written.
pub(super) async fn order(
    config: &config::Tls,
    acme: &config::Acme,
    challenges: &Challenges,
) -> Result<(), Error> {
    // What others say to the library must not end the service.
    let ordering = AssertUnwindSafe(obtain(config, acme, challenges)).catch_unwind();
    let obtained = tokio::time::timeout(ORDER, ordering).await;
    challenges.clear();
    let failed = |why: &str| Error::Acme(why.into());
    let (cert, key) = obtained
        .map_err(|_| failed("the server took more than five minutes"))?
        .map_err(|_| failed("the library panicked"))??;
    let names = check_pair(cert.as_bytes(), key.as_bytes())?;
    if let Some(name) = acme.domains.iter().find(|name| !names.contains(name)) {
        let lacking = format!("the server has left out {name}");
        return Err(Error::Acme(lacking));
    }
    let (cert_path, key_path) = (config.cert.clone(), config.key.clone());
    blocking(move || files::write_pair((&cert_path, &cert), (&key_path, &key))).await
}

async fn obtain(
    config: &config::Tls,
    acme: &config::Acme,
    challenges: &Challenges,
) -> Result<(String, Zeroizing<String>), Error> {
    let account = account(config, acme).await?;
    let names: Vec<_> = acme.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account
        .new_order(&NewOrder::new(&names))
        .await
        .map_err(refused)?;
    answer(&mut order, challenges).await?;
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(why(&mut order).await),
        Err(error) => return Err(refused(error)),
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::library)?;
    let mut params = CertificateParams::new(acme.domains.clone()).map_err(Error::library)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(Error::library)?;
    order.finalize_csr(request.der()).await.map_err(refused)?;
    let cert = order.poll_certificate(&PATIENCE).await.map_err(refused)?;
    Ok((cert, Zeroizing::new(key.serialize_pem())))
}

/// Puts an answer to each name's challenge where the server will look, and tells it so.
async fn answer(order: &mut Order, challenges: &Challenges) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(refused)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(Error::Acme(format!("an authorization is {other:?}"))),
        }
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .ok_or_else(|| Error::Acme("the server does not offer tls-alpn-01".into()))?;
        let name = challenge.identifier().to_string();
        let digest = challenge.key_authorization().digest();
        challenges.put(&name.to_ascii_lowercase(), digest.as_ref())?;
        challenge.set_ready().await.map_err(refused)?;
    }
    Ok(())
}

/// What the server found wrong with the answers.
async fn why(order: &mut Order) -> Error {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let name = state.identifier().to_string();
        let errors = state.challenges.iter().filter_map(|c| c.error.as_ref());
        reasons.extend(errors.map(|error| format!("{name}: {error}")));
    }
    Error::Acme(format!(
        "the server could not validate the names ({}); it has to reach this server as port 443 of \
         each",
        reasons.join("; ")
    ))
}

/// The account at this directory; a new one where there is none.
async fn account(config: &config::Tls, acme: &config::Acme) -> Result<Account, Error> {
    let (tls, root) = (config.clone(), acme.ca.clone());
    let prepare = move || {
        let builder = match root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        Ok((builder.map_err(refused)?, kept(&tls)?))
    };
    let (builder, kept) = blocking(prepare).await?;
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let (account, credentials) = match kept.filter(|kept| kept.directory == acme.directory) {
        Some(kept) => {
            let changed = kept.contact != acme.contact;
            let restored = builder.from_credentials(kept.credentials).await;
            let account = restored.map_err(refused)?;
            if changed {
                account.update_contacts(&contact).await.map_err(refused)?;
            }
            return Ok(account);
        }
        None => {
            let new = NewAccount {
                contact: &contact,
                terms_of_service_agreed: acme.accept_terms,
                only_return_existing: false,
            };
            builder.create(&new, acme.directory.clone(), None).await
        }
    }
    .map_err(refused)?;
    let kept = Kept {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        credentials,
    };
    let text = Zeroizing::new(serde_json::to_string(&kept).map_err(Error::library)?);
    let path = path(config);
    blocking(move || files::write_private(&path, &text)).await?;
    Ok(account)
}

fn kept(config: &config::Tls) -> Result<Option<Kept>, Error> {
    let path = path(config);
    if !path.exists() {
        return Ok(None);
    }
    let kept = serde_json::from_slice(&files::read_key(&path)?);
    kept.map(Some)
        .map_err(|_| Error::Acme(format!("{} is no account: remove it", path.display())))
}

fn path(config: &config::Tls) -> PathBuf {
    config.cert.with_file_name("acme-account.json")
}

fn refused(error: instant_acme::Error) -> Error {
    // The sentence of the library alone does not say why a server cannot be reached.
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    Error::Acme(said)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::library)?
}
