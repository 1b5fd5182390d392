//! The private authority of `wsexec certs init`: it stands beside the certificate as `ca.crt` and
//! `ca.key`, and has made the certificate. Whoever trusts it trusts every certificate that the
//! server makes by it, and it can vouch for no other names.

use super::certificate::{Certificate, day, now};
use super::{Error, files};
use crate::config;
use crate::domain::{self, random_bytes};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;
use zeroize::Zeroizing;

/// What says that this program has made an authority.
const ORGANISATION: &str = "WSEXEC private authority";
const AUTHORITY_DAYS: i64 = 3652;
/// The longest life that Mozilla's profile "modern" allows.
const LEAF_DAYS: i64 = 90;
/// A client's clock may be a little slow.
const EARLIER: Duration = Duration::hours(1);

/// What [`init`] has made.
pub struct Authority {
    /// The authority's certificate: what clients are told to trust.
    pub ca: PathBuf,
    /// Its key.
    pub ca_key: PathBuf,
    /// The names and addresses that the server's certificate is for.
    pub names: Vec<String>,
    /// The last day of the server's certificate, as YYYY-MM-DD.
    pub until: String,
}

/// Makes an authority and a certificate by it, for these names and addresses; none means localhost
/// and this host's name.
///
/// # Errors
/// `Exists` where one of the files is there and may not be replaced; where a name cannot stand in a
/// certificate; where a file cannot be written.
pub fn init(config: &config::Tls, names: &[String], replace: bool) -> Result<Authority, Error> {
    let (ca, ca_key) = paths(config);
    for path in [&ca, &ca_key, &config.cert, &config.key] {
        if path.exists() && !replace {
            return Err(Error::Exists { path: path.clone() });
        }
    }
    let names = match names {
        [] => usual_names(),
        given => given.iter().map(|n| n.to_ascii_lowercase()).collect(),
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::library)?;
    let params = authority(&names)?;
    let until = params.not_after;
    let cert = params.self_signed(&key).map_err(Error::library)?;
    let leaf = leaf(&names, until, &Issuer::from_params(&params, &key))?;
    let key = Zeroizing::new(key.serialize_pem());
    files::write_pair((&ca, &cert.pem()), (&ca_key, &key))?;
    files::write_pair((&config.cert, &leaf.cert), (&config.key, &leaf.key))?;
    Ok(Authority {
        ca,
        ca_key,
        names,
        until: day((OffsetDateTime::now_utc() + Duration::days(LEAF_DAYS)).unix_timestamp()),
    })
}

/// What a certificate is for where nobody says it: this machine.
pub(super) fn usual_names() -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    names.extend(host_name());
    names
}

/// The host's name, where a certificate can hold it.
fn host_name() -> Option<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().ok()?.to_ascii_lowercase();
    let fits = domain::host(&name).is_ok() && name.parse::<IpAddr>().is_err();
    (fits && name != "localhost").then_some(name)
}

/// Makes the certificate anew, for the same names and addresses and with a new key, where it is of
/// the authority that stands beside it and that has its key there. Gives whether it did.
///
/// # Errors
/// Where the authority cannot be used, has expired, or a file cannot be written.
pub(super) fn renew(config: &config::Tls, old: &Certificate) -> Result<bool, Error> {
    let (ca, ca_key) = paths(config);
    if !ca.exists() || !ca_key.exists() {
        return Ok(false);
    }
    let certificate = files::read_certs(&ca)?.swap_remove(0);
    let no_certificate = |_| Error::NoCertificate { path: ca.clone() };
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(no_certificate)?;
    if parsed.subject().as_raw() != old.issuer() {
        return Ok(false);
    }
    let until = parsed.validity().not_after;
    if until.timestamp() < now() {
        let until = day(until.timestamp());
        return Err(Error::Expired { path: ca, until });
    }
    let no_key = |_| Error::NoKey {
        path: ca_key.clone(),
    };
    let pem = files::read_key(&ca_key)?;
    let pem = std::str::from_utf8(&pem).map_err(|_| Error::NoKey {
        path: ca_key.clone(),
    })?;
    let key = KeyPair::from_pem(pem).map_err(no_key)?;
    if key.public_key_raw() != parsed.public_key().subject_public_key.data.as_ref() {
        return Err(Error::Mismatch {
            cert: ca,
            key: ca_key,
        });
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(Error::library)?;
    let says = old.says();
    let addresses = says.addresses.iter().map(IpAddr::to_string);
    let names: Vec<String> = says.names.iter().cloned().chain(addresses).collect();
    let new = leaf(&names, until.to_datetime(), &issuer)?;
    files::write_pair((&config.cert, &new.cert), (&config.key, &new.key))?;
    tracing::info!(certificate = %config.cert.display(), "the certificate is renewed");
    Ok(true)
}

/// Whether an issuer is an authority that this program has made, here or elsewhere.
pub(super) fn is_ours(issuer: &X509Name<'_>) -> bool {
    let mut organisations = issuer.iter_organization();
    organisations.any(|name| name.as_str().is_ok_and(|name| name == ORGANISATION))
}

fn paths(config: &config::Tls) -> (PathBuf, PathBuf) {
    let directory = config.cert.parent().unwrap_or(Path::new(""));
    (directory.join("ca.crt"), directory.join("ca.key"))
}

/// A certificate and its key, as PEM.
struct Leaf {
    cert: String,
    key: Zeroizing<String>,
}

/// What an authority is like that can vouch for these names and for certificates of servers alone.
fn authority(names: &[String]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - EARLIER;
    params.not_after = now + Duration::days(AUTHORITY_DAYS);
    let serial: String = random_bytes::<4>().map(|b| format!("{b:02x}")).concat();
    let host = host_name().unwrap_or_else(|| "localhost".into());
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, ORGANISATION);
    // Common names end at 64 characters (RFC 5280 appendix A.1).
    let host: String = host.chars().take(40).collect();
    subject.push(DnType::CommonName, format!("wsexec {host} {serial}"));
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: constraints(names)?,
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

/// A kind of name that no constraint is of would be free, so there is one of each kind.
fn constraints(names: &[String]) -> Result<Vec<GeneralSubtree>, Error> {
    let mut subtrees = Vec::new();
    for name in sorts(names)? {
        match name {
            SanType::IpAddress(ip) => {
                let bits = if ip.is_ipv4() { 32 } else { 128 };
                subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                    ip, bits,
                )));
            }
            SanType::DnsName(name) => {
                let name = name.as_str();
                let below = name.strip_prefix("*.").unwrap_or(name);
                subtrees.push(GeneralSubtree::DnsName(below.to_owned()));
            }
            _ => {}
        }
    }
    let none_of = |kind: fn(&GeneralSubtree) -> bool| !subtrees.iter().any(kind);
    let (no_names, no_addresses) = (
        none_of(|subtree| matches!(subtree, GeneralSubtree::DnsName(_))),
        none_of(|subtree| matches!(subtree, GeneralSubtree::IpAddress(_))),
    );
    if no_names {
        // Never a host's (RFC 2606 section 2).
        subtrees.push(GeneralSubtree::DnsName("invalid".into()));
    }
    if no_addresses {
        // "This host on this network", which is no destination (RFC 1122 section 3.2.1.3).
        let nowhere = CidrSubnet::from_v4_prefix([0; 4], 32);
        subtrees.push(GeneralSubtree::IpAddress(nowhere));
    }
    Ok(subtrees)
}

fn sorts(names: &[String]) -> Result<Vec<SanType>, Error> {
    let bad = |name: &String| {
        let host = name.strip_prefix("*.").unwrap_or(name);
        domain::host(host).is_err() || host.parse::<IpAddr>().is_ok() && host != name
    };
    if let Some(name) = names.iter().find(|name| bad(name)) {
        return Err(Error::Name { name: name.clone() });
    }
    let params = CertificateParams::new(names).map_err(Error::library)?;
    Ok(params.subject_alt_names)
}

fn leaf(
    names: &[String],
    until: OffsetDateTime,
    issuer: &Issuer<'_, impl rcgen::SigningKey>,
) -> Result<Leaf, Error> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = sorts(names)?;
    params.not_before = OffsetDateTime::now_utc() - EARLIER;
    params.not_after = until.min(params.not_before + Duration::days(LEAF_DAYS));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "wsexec");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::library)?;
    let cert = params.signed_by(&key, issuer).map_err(Error::library)?;
    Ok(Leaf {
        cert: cert.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}
