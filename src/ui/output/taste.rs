//! How a reader wants to see output; their browser remembers it.

use super::Asked;
use poem::Response;
use poem::http::header::{COOKIE, SET_COOKIE};
use poem::http::{HeaderMap, HeaderValue};

const NAME: &str = "__Host-wsexec-output";

/// A year, in seconds.
const AGE: u32 = 31_536_000;

/// How output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taste {
    /// Both streams in the order in which they came.
    pub together: bool,
    /// Long lines go on in the next one of the screen.
    pub wrap: bool,
}

impl Taste {
    /// What is asked for, else what the browser remembers; and whether that is news to it.
    pub fn of(headers: &HeaderMap, asked: &Asked) -> (Self, bool) {
        let remembered = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
            .unwrap_or_default();
        let says = |word| remembered.split('.').any(|it| it == word);
        let before = Self {
            together: says("together"),
            wrap: !says("nowrap"),
        };
        let now = Self {
            together: match asked.view.as_str() {
                "together" => true,
                "apart" => false,
                _ => before.together,
            },
            wrap: match asked.wrap.as_str() {
                "on" => true,
                "off" => false,
                _ => before.wrap,
            },
        };
        (now, now != before)
    }

    /// Lets the browser remember it.
    pub fn remember(self, response: &mut Response) {
        let together = if self.together { "together" } else { "apart" };
        let wrap = if self.wrap { "wrap" } else { "nowrap" };
        let cookie = format!(
            "{NAME}={together}.{wrap}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={AGE}"
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}
