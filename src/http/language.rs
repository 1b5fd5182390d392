//! Which language a reader wants: what they chose, else what their browser asks for.

use super::login::{cookies, set_cookie};
use poem::http::header::ACCEPT_LANGUAGE;
use poem::{Request, Response};

/// What the reader chose, by a form of the footer. No secret.
const COOKIE_NAME: &str = "__Host-wsexec-language";
/// Longer lists than any browser sends are not read.
const LONGEST: usize = 1024;

/// The languages that the reader would take, as tags of BCP 47 without their region (`fr`), best
/// first: the chosen one, then those of `Accept-Language` (RFC 9110 section 12.5.4).
pub fn languages(request: &Request) -> Vec<String> {
    let asked = request.headers().get(ACCEPT_LANGUAGE);
    let asked = asked.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let asked = match asked.len() {
        0..=LONGEST => accept_language::parse(asked),
        _ => Vec::new(),
    };
    cookies(request, COOKIE_NAME)
        .map(str::to_owned)
        .chain(asked)
        .filter_map(|tag| Some(tag.split('-').next()?.to_ascii_lowercase()))
        .collect()
}

/// Has the browser remember a choice for a year.
pub fn set_language(response: &mut Response, tag: &str) {
    set_cookie(response, (COOKIE_NAME, tag), "; Max-Age=31536000");
}
