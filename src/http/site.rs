use super::Settings;
use crate::domain::ServerCertificate;
use poem::Request;
use poem::http::header::HOST;
use poem::http::uri::Authority;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// By what names this service is known, so that a forged Host never ends up in a URL.
pub(super) struct Site {
    public_url: Option<String>,
    certificate: watch::Receiver<Arc<ServerCertificate>>,
    /// The address of the listener, where it is one.
    address: Option<IpAddr>,
    /// `https://ADDR:PORT` of the listener.
    listening: String,
}

impl Site {
    pub(super) fn new(settings: &Settings) -> Self {
        let ip = settings.local.ip();
        let port = settings.local.port();
        let address = Some(ip).filter(|ip| !ip.is_unspecified());
        let listening = match address {
            None => format!("https://localhost:{port}"),
            Some(_) => format!("https://{}", settings.local),
        };
        Self {
            public_url: settings
                .http
                .public_url
                .as_deref()
                .map(|url| url.trim_end_matches('/').to_owned()),
            certificate: settings.certificate.clone(),
            address,
            listening,
        }
    }

    /// What absolute URLs begin with, in the answer to this request.
    pub(super) fn base_url(&self, request: &Request) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        authority(request)
            .filter(|authority| self.is_ours(authority.host()))
            .and_then(|authority| {
                let host = authority.host();
                // Nothing is reflected but a name of ours and a number.
                match authority.as_str().strip_prefix(host)?.strip_prefix(':') {
                    None => Some(format!("https://{host}")),
                    Some(port) => Some(format!("https://{host}:{}", port.parse::<u16>().ok()?)),
                }
            })
            .unwrap_or_else(|| self.listening.clone())
    }

    /// Whether an `Origin` is this service: the host that the request itself was sent to, or the
    /// public URL's.
    pub(super) fn is_own_origin(&self, origin: &str, request: &Request) -> bool {
        let public = self.public_url.as_deref();
        let public = public.and_then(|url| Some(url::Url::parse(url).ok()?.origin()));
        let Ok(origin) = url::Url::parse(origin).map(|url| url.origin()) else {
            return false;
        };
        if !origin.is_tuple() {
            return false;
        }
        let asked = authority(request).and_then(|a| url::Url::parse(&format!("https://{a}")).ok());
        asked.is_some_and(|url| url.origin() == origin) || public.is_some_and(|p| p == origin)
    }

    fn is_ours(&self, host: &str) -> bool {
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let ip = match bracketed {
            Some(ip) => ip.parse().ok().map(IpAddr::V6),
            None => host.parse().ok().map(IpAddr::V4),
        };
        let certificate = self.certificate.borrow().clone();
        if let Some(ip) = ip {
            return self.address == Some(ip) || certificate.addresses.contains(&ip);
        }
        let host = host.to_ascii_lowercase();
        certificate
            .names
            .iter()
            .any(|name| match name.strip_prefix('*') {
                // A wildcard stands for exactly one label (RFC 9525 section 6.3).
                Some(suffix) => host
                    .strip_suffix(suffix)
                    .is_some_and(|label| !label.is_empty() && !label.contains('.')),
                None => *name == host,
            })
    }
}

/// The host and port that the request was sent to: `:authority` in HTTP/2, or an absolute request
/// target, else the Host header. None where there is none or it is malformed.
pub(super) fn authority(request: &Request) -> Option<Authority> {
    let authority = match request.original_uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = request.headers().get_all(HOST).iter();
            let host = hosts.next()?.to_str().ok()?.parse().ok()?;
            if hosts.next().is_some() {
                return None;
            }
            host
        }
    };
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}
