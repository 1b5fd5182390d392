//! Requests that another site made a browser send.

use super::site::Site;
use crate::domain::{Error, Kind, Result};
use poem::Request;
use poem::http::header::{HeaderName, ORIGIN};

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets an unsafe method pass only where nothing says that another site is behind it. Where a
/// browser may act without anyone's doing, it has to prove it (`needs_proof`): a cookie or a
/// certificate goes along by itself, and the forms of the pages are for browsers, every one of which
/// sends `Origin`.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check(request: &Request, site: &Site, needs_proof: bool) -> Result<()> {
    if request.method().is_safe() {
        return Ok(());
    }
    let mut proven = false;
    for value in request.headers().get_all(SEC_FETCH_SITE) {
        match value.as_bytes() {
            b"same-origin" | b"none" => proven = true,
            _ => return Err(foreign()),
        }
    }
    for value in request.headers().get_all(ORIGIN) {
        match value.to_str() {
            Ok(origin) if site.is_own_origin(origin, request) => proven = true,
            _ => return Err(foreign()),
        }
    }
    if needs_proof && !proven {
        return Err(foreign());
    }
    Ok(())
}

/// Whether another site has sent the browser here.
pub fn is_from_elsewhere(request: &Request) -> bool {
    let sites = request.headers().get_all(SEC_FETCH_SITE);
    let own = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    !sites.iter().all(|site| own(site.as_bytes()))
}

fn foreign() -> Error {
    Error::new(
        Kind::Forbidden,
        "This request does not come from a page of this service.",
    )
}
