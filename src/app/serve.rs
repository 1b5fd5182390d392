//! `wsexec serve`

use super::running::Running;
use super::stop::StopSignals;
use super::{data_dir, failed, logging, manager};
use crate::config::Config;
use crate::domain::{Error, Kind, Result, Secret};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// How long work on other threads may still take once everything has stopped: a look-up of a name
/// that hangs must not keep the program.
pub(super) const LAST_THREADS: Duration = Duration::from_secs(5);

/// Runs the service until a signal stops it.
///
/// # Errors
/// The sentence that says why it did not start, or did not stop well.
pub fn serve(config: Config) -> Result<()> {
    logging::start(&config.log)?;
    block_on(async {
        let mut signals = StopSignals::listen()?;
        let data = config.data.clone();
        let place = config.http.listen;
        let told = |name: &str, password: &Secret| tell(&data, name, password);
        let running = Running::start(config, &[place], told).await?;
        let certificate = &running.certificate;
        tracing::info!(
            file = %certificate.path().display(),
            made = certificate.was_made(),
            sha256 = certificate.fingerprint(),
            "certificate"
        );
        announce(&format!("wsexec ready https://{}", running.address));
        manager::ready();
        running.until_stopped(&mut signals).await
    })
}

/// Runs on all cores, with as many open files as the system grants.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_THREADS);
    result
}

/// One line on stdout. Where nobody reads it, there is nobody to tell.
pub(super) fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Shows the first password once, to a person or in a file.
fn tell(data: &Path, name: &str, password: &Secret) -> Result<()> {
    if std::io::stderr().is_terminal() {
        eprintln!(
            "The first user is {name}, with the password {}\nIt is not shown again.",
            password.expose()
        );
        return Ok(());
    }
    let path = data_dir::first_password(data);
    data_dir::write_secret(&path, password).map_err(|e| {
        let advice = format!("{e} `wsexec user passwd {name}` sets a password.");
        Error::new(Kind::Unavailable, advice).caused_by(e)
    })?;
    tracing::warn!(user = name, file = %path.display(), "the first password is in a file");
    Ok(())
}

/// A connection takes a file here and a script another one. What cannot be raised is no reason
/// not to start.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}
