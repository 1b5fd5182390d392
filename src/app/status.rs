//! `wsexec status`: a server and its store at a glance. Makes and changes nothing.

use super::data_dir;
use super::presence::Presence;
use crate::config::Config;
use crate::domain::{Kind, Result};
use crate::store::{Glance, Store};
use crate::tls::{self, Certificate};

/// A server and its store.
pub struct Status {
    /// Whether one runs, and how it is.
    pub presence: Presence,
    /// The store; none where there is none, and what is wrong with it.
    pub store: Result<Option<Glance>, String>,
    /// The certificate; none where there is none, and what is wrong with it.
    pub certificate: Result<Option<Certificate>, String>,
}

/// Looks at the data directory and the certificate of a configuration.
///
/// # Errors
/// `Conflict` where the data directory lets others in, or is somebody else's.
pub fn status(config: &Config) -> Result<Status> {
    let certificate = tls::find(&config.tls).map_err(|e| e.to_string());
    let there = match data_dir::judge(&config.data) {
        Err(error) if error.kind() == Kind::NotFound => false,
        judged => judged.map(|()| true)?,
    };
    if !there {
        return Ok(Status {
            presence: Presence::Absent,
            store: Ok(None),
            certificate,
        });
    }
    Ok(Status {
        presence: Presence::look(&config.data)?,
        store: Store::glance(&config.data).map_err(|e| e.to_string()),
        certificate,
    })
}
