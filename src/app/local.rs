//! The use cases on a data directory, without a server: for the command line.

use super::data_dir;
use super::failed;
use super::running::{open_store, open_vault, rules};
use crate::config::Config;
use crate::domain::{Error, Kind, Result, SystemClock};
use crate::service::Service;
use crate::store::Access;
use std::sync::Arc;

/// Who the first start makes.
const FIRST_USER: &str = "admin";

/// Does something with the users of a data directory, also beside a running server. Where there is
/// no data directory, it is made.
///
/// # Errors
/// Those of the work itself, and where the data directory cannot be used.
pub fn local<T>(config: &Config, work: impl AsyncFnOnce(Service) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let store = open_store(config, Access::Command).await?;
        let vault = open_vault(config, &store).await?;
        let rules = rules(config)?;
        work(Service::new(
            store,
            vault,
            None,
            Arc::new(SystemClock),
            rules,
        ))
        .await
    })
}

/// As [`local`], where there has to be a data directory already: a mistyped one is not made.
///
/// # Errors
/// As [`local`], and `NotFound`.
pub fn existing<T>(config: &Config, work: impl AsyncFnOnce(Service) -> Result<T>) -> Result<T> {
    data_dir::judge(&config.data)?;
    local(config, work)
}

/// A password was changed, or a user removed: where it was the first one's, the file that holds the
/// first password goes.
///
/// # Errors
/// `Unavailable` where it is there and cannot be removed.
pub fn forget_first_password(config: &Config, user: &str) -> Result<()> {
    if user != FIRST_USER {
        return Ok(());
    }
    let path = data_dir::first_password(&config.data);
    data_dir::remove(&path).map_err(|e| {
        let detail = format!("Cannot remove {}: {e}.", path.display());
        Error::new(Kind::Unavailable, detail)
    })
}
