//! Requests that another site made a browser send.

use super::site::Site;
use crate::domain::{Error, Kind, Result};
use poem::Request;
use poem::http::header::{HeaderName, ORIGIN};

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets an unsafe method pass only where nothing says that another site is behind it. A browser's
/// own login (`by_itself`) has to prove it: the cookie, or the certificate, goes along without
/// anyone's doing.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check(request: &Request, site: &Site, by_itself: bool) -> Result<()> {
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
    if by_itself && !proven {
        return Err(foreign());
    }
    Ok(())
}

fn foreign() -> Error {
    Error::new(
        Kind::Forbidden,
        "This request does not come from a page of this service.",
    )
}
