//! Mechanisms of authentication, without storage: password hashing, the cache of verified logins,
//! the hashes of session tokens, API tokens, throttling.

mod flights;
mod password;
mod throttle;
mod token;
mod verified;

pub use flights::Flights;
pub use password::{Busy, Passwords, Verdict};
pub use throttle::Throttle;
pub use token::{hash as hash_token, is_api_token, new_api_token};
pub use verified::Verified;
