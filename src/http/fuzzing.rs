//! What has to hold of the heads of requests that say who asks, whatever is in them.

use super::login;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::Request;
use poem::http::HeaderValue;
use poem::http::header::{AUTHORIZATION, COOKIE, HeaderName};

/// A request with this in a header, line by line.
fn request(name: &HeaderName, data: &[u8]) -> Request {
    let mut request = Request::default();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(name, value);
        }
    }
    request
}

/// What is taken for one of our cookies looks like one, and stands in the header.
///
/// # Panics
/// Where that does not hold.
pub fn cookies(data: &[u8]) {
    let request = request(&COOKIE, data);
    let header = String::from_utf8_lossy(data);
    let session = login::session_token(&request);
    assert!(session.is_none() || login::comes_by_itself(&request));
    for (name, found) in [
        ("__Host-wsexec=", session),
        ("__Host-wsexec-login=", login::step_token(&request)),
        ("__Host-wsexec-openid=", login::openid_token(&request)),
    ] {
        let Some(found) = found else { continue };
        let text = found.expose();
        assert!(header.contains(name) && header.contains(text), "{header:?}");
        assert!(text.len() <= 2048);
        let ours = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(text.bytes().all(ours), "{text:?}");
    }
}

/// What is taken for a name and a password, or for a token, is what the header says.
///
/// # Panics
/// Where that does not hold.
pub fn credentials(data: &[u8]) {
    let request = request(&AUTHORIZATION, data);
    let lines = request.headers().get_all(AUTHORIZATION).iter().count();
    let bearer = login::bearer(&request);
    let basic = login::credentials(&request);
    assert!(bearer.is_none() || basic.is_none());
    assert!(lines == 1 || (bearer.is_none() && basic.is_none()));
    if let Some((name, password)) = basic {
        let both = format!("{name}:{}", password.expose());
        assert!(!name.contains(':') && !both.contains(char::is_control));
        let again = format!("Basic {}", STANDARD.encode(&both));
        let again = login::credentials(&self::request(&AUTHORIZATION, again.as_bytes()));
        let again = again.map(|(name, password)| format!("{name}:{}", password.expose()));
        assert_eq!(again, Some(both));
    }
}
