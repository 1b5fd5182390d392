//! Client certificates: by whom they have to be issued, and whom they name.

use super::certificate::provider;
use super::{Error, files};
use crate::config;
use crate::domain::{ClientCertificate, Flag};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Verifies client certificates.
#[derive(Clone)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Of the files that it was made of.
    digest: [u8; 32],
    /// Of what it has verified.
    withdrawn: Flag,
}

impl Clients {
    /// Reads who may issue client certificates and what they have revoked; none where nobody is to
    /// be asked for one. What has not changed since `old` stays as it is; else the trust in what
    /// `old` has verified is for the caller to withdraw.
    ///
    /// # Errors
    /// Where a file cannot be read or holds something else.
    pub(super) fn load(config: &config::Tls, old: Option<&Self>) -> Result<Option<Self>, Error> {
        let Some(ca) = &config.client_ca else {
            return Ok(None);
        };
        let crl = match &config.client_crl {
            Some(path) => files::read_public(path)?,
            None => Vec::new(),
        };
        let digest = Sha256::new()
            .chain_update(files::read_public(ca)?)
            .chain_update([0])
            .chain_update(&crl);
        let digest = digest.finalize().into();
        if let Some(old) = old.filter(|old| old.digest == digest) {
            return Ok(Some(old.clone()));
        }
        let mut roots = RootCertStore::empty();
        for certificate in files::read_certs(ca)? {
            roots.add(certificate).map_err(Error::library)?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if let Some(path) = &config.client_crl {
            // An old list still says what was revoked; the authorities above the issuer need none.
            builder = builder
                .with_crls(revocations(&crl, path)?)
                .only_check_end_entity_revocation();
        }
        if config.client_certificates != Some(config::ClientCertificates::Required) {
            builder = builder.allow_unauthenticated();
        }
        Ok(Some(Self {
            verifier: builder.build().map_err(Error::library)?,
            digest,
            withdrawn: Flag::default(),
        }))
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// What it was made of.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Ends the trust in what was verified by this and not by `newer`.
    pub(super) fn give_way(&self, newer: Option<&Self>) {
        if newer.is_none_or(|newer| newer.digest != self.digest) {
            self.withdrawn.raise();
        }
    }

    /// What a certificate that was verified means.
    pub(super) fn read(&self, leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        Some(ClientCertificate {
            user: user(&parsed),
            until: parsed.validity().not_after.timestamp(),
            withdrawn: self.withdrawn.clone(),
            recorded: Flag::default(),
        })
    }
}

/// Whether what is configured about client certificates can be used: the number of issuers, none
/// where nobody is to be asked for one.
///
/// # Errors
/// Where a file cannot be read or holds something else.
pub fn check_clients(config: &config::Tls) -> Result<Option<usize>, Error> {
    let Some(ca) = &config.client_ca else {
        return Ok(None);
    };
    Clients::load(config, None)?;
    files::read_certs(ca).map(|found| Some(found.len()))
}

fn revocations(
    pem: &[u8],
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|lists| !lists.is_empty())
        .ok_or_else(|| Error::NoRevocations {
            path: path.to_owned(),
        })
}

/// The user that a certificate names: its e-mail address where its alternative names hold one, else
/// its Common Name. None where there are several, because then it depends on the reader who it is.
fn user(leaf: &X509Certificate<'_>) -> Option<String> {
    // Doubled or broken, it could hide a name.
    let alternative = leaf.subject_alternative_name().ok()?;
    let mails: Vec<&str> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::RFC822Name(mail) => Some(*mail),
            _ => None,
        })
        .collect();
    let names = leaf.subject().iter_common_name();
    let names: Vec<_> = names.map(|name| name.as_str().ok()).collect();
    let name = match (mails.as_slice(), names.as_slice()) {
        ([mail], _) => *mail,
        ([], [Some(name)]) => *name,
        _ => return None,
    };
    crate::domain::username(name).ok().map(|()| name.to_owned())
}
