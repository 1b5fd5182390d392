use super::Error;
use super::authority::usual_names;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// The longest life that clients take from a server's certificate.
const DAYS: i64 = 820;

/// A certificate and its key, as PEM.
pub(super) struct SelfSigned {
    pub(super) cert: String,
    pub(super) key: Zeroizing<String>,
}

/// Makes a certificate for this machine: ECDSA P-256, no CA, for servers alone.
pub(super) fn make() -> Result<SelfSigned, Error> {
    let mut params = CertificateParams::new(usual_names()).map_err(Error::library)?;
    let now = OffsetDateTime::now_utc();
    // A client's clock may be a little slow.
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(DAYS);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "wsexec self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::library)?;
    let cert = params.self_signed(&key).map_err(Error::library)?;
    Ok(SelfSigned {
        cert: cert.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}
