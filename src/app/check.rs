//! `wsexec check`: looks at everything that `serve` needs, and makes nothing.

use super::data_dir;
use crate::config::{self, Config};
use crate::domain::Kind;
use crate::ssh::Connector;
use crate::store::Store;
use crate::tls;
use crate::traces::Traces;

/// What was found of one part.
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What was found.
    pub verdict: Verdict,
}

/// What it is like, or what is wrong and what to do.
pub type Verdict = Result<String, String>;

/// Looks at certificate, store and SSH identities.
pub fn check(config: &Config) -> Vec<Part> {
    let part = |name, verdict| Part { name, verdict };
    let mut parts = vec![part("certificate", certificate(&config.tls))];
    if let Some(verdict) = client_certificates(&config.tls) {
        parts.push(part("client certificates", verdict));
    }
    if let Some(verdict) = openid(config) {
        parts.push(part("openid", verdict));
    }
    parts.push(part("store", store(config)));
    if let Some(verdict) = retention(&config.retention) {
        parts.push(part("retention", verdict));
    }
    parts.push(part("ssh identities", identities(config)));
    if let Some(verdict) = traces(config) {
        parts.push(part("traces", verdict));
    }
    parts
}

/// None where nobody is asked for one.
fn client_certificates(config: &config::Tls) -> Option<Verdict> {
    match tls::check_clients(config) {
        Ok(issuers) => issuers.map(|n| Ok(format!("issuers that count: {n}"))),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// None where there is no provider. It is not asked: it may be down for a while.
fn openid(config: &Config) -> Option<Verdict> {
    match super::running::openid(config) {
        Ok(provider) => provider.map(|it| Ok(it.issuer().to_owned())),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// None where they go nowhere.
fn traces(config: &Config) -> Option<Verdict> {
    match Traces::check(&config.traces) {
        Ok(endpoint) => endpoint.map(|it| Ok(it.to_owned())),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// None where everything is kept.
fn retention(config: &config::Retention) -> Option<Verdict> {
    let rules = match config.rules() {
        Ok(rules) => rules,
        Err(error) => return Some(Err(error.to_string())),
    };
    if rules.keeps_everything() {
        return None;
    }
    let told = rules.groups().map(|(label, limits)| match label {
        Some(label) => format!("{label}: {limits}"),
        None => format!("all else: {limits}"),
    });
    Some(Ok(told.collect::<Vec<_>>().join("; ")))
}

fn certificate(config: &config::Tls) -> Verdict {
    match tls::find(config).map_err(|e| e.to_string())? {
        None => Ok(format!(
            "{} is not there; `wsexec serve` makes one",
            config.cert.display()
        )),
        Some(found) => match found.warning() {
            Some(warning) => Err(warning),
            None => Ok(format!(
                "{}, {}, SHA-256 {}",
                found.path().display(),
                found.origin(),
                found.fingerprint()
            )),
        },
    }
}

fn store(config: &Config) -> Verdict {
    let dir = &config.data;
    match data_dir::judge(dir) {
        Err(e) if e.kind() == Kind::NotFound => {
            return Ok(format!(
                "{} is not there; `wsexec serve` makes it",
                dir.display()
            ));
        }
        judged => judged.map_err(|e| e.to_string())?,
    }
    match Store::check(dir).map_err(|e| e.to_string())? {
        true => Ok(dir.display().to_string()),
        false => Ok(format!(
            "{} is empty; `wsexec serve` makes it",
            dir.display()
        )),
    }
}

/// A file that was configured and cannot be used is a mistake; of the usual ones any will do.
fn identities(config: &Config) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let keys = runtime.block_on(Connector::new(&config.ssh).keys());
    let wrong = keys.unusable.join("; ");
    if keys.usable.is_empty() {
        let advice = "no key to log in with: name one by --ssh-identity, put one into ~/.ssh, or \
            start an agent";
        return Err([advice, &wrong].join(if wrong.is_empty() { "" } else { "; " }));
    }
    if !config.ssh.identities.is_empty() && !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(keys.usable.join(", "))
}
