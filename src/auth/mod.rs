//! Mechanisms of authentication, without storage: password hashing, the cache of verified logins,
//! the hashes of session tokens, API tokens, what forms carry, codes of authenticators, an OpenID
//! provider, throttling.

mod flights;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod openid;
mod password;
mod secret_file;
mod throttle;
mod ticket;
mod token;
mod totp;
mod verified;
mod web;

pub use flights::Flights;
pub use form::{form_token, same};
pub use openid::{Arrival, Begun, OpenId, linked_subject};
pub use password::{Busy, Passwords, Verdict};
pub use throttle::Throttle;
pub use ticket::{Errand, TICKET_LIFE};
pub use token::{hash as hash_token, is_api_token, new_api_token};
pub use totp::{hash_recovery_code, new_recovery_codes, new_totp_secret, totp_step, totp_url};
pub use verified::Verified;
