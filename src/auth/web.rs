//! Requests to an OpenID provider: bounded in time and size, and to where they were sent alone.

use crate::domain::{Error, Result};
use http::{Request, Response};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use std::path::Path;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
/// For a request with its whole answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LONGEST: usize = 1024 * 1024;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    #[error("{}", causes(&.0))]
    Failed(#[from] reqwest::Error),
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
}

/// An error with its causes: most sentences of libraries leave out what happened.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A client for the provider.
pub(super) struct Web(Client);

impl Web {
    /// Trusts what the system trusts, and who `ca` names beside it.
    ///
    /// # Errors
    /// `Conflict` where that file cannot be used.
    pub(super) fn new(ca: Option<&Path>, plain: bool) -> Result<Self> {
        let authorities = match ca {
            Some(path) => authorities(path)?,
            None => Vec::new(),
        };
        let client = Client::builder()
            .redirect(Policy::none())
            .https_only(!plain)
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .tls_certs_merge(authorities)
            .build();
        client.map(Self).map_err(|error| {
            let why = causes(&error);
            Error::conflict(format!("No requests to the OpenID provider: {why}."))
        })
    }

    pub(super) async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> std::result::Result<Response<Vec<u8>>, WebError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > LONGEST {
                return Err(WebError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = Response::new(body);
        *whole.status_mut() = answer.status();
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(whole)
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>> {
    let refuse = |why: &dyn std::fmt::Display| {
        Error::conflict(format!("auth.openid.ca_file {}: {why}.", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| refuse(&error))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(&causes(&error)))?;
    match found.is_empty() {
        true => Err(refuse(&"there is no certificate in it")),
        false => Ok(found),
    }
}
