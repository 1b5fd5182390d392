//! Instances: the list, one instance, the forms, and what can be done to one.

mod check;
mod form;
mod host_key;
mod show;

pub use check::try_out;
pub use form::{blank, create, edit, save};
pub use host_key::decide;
pub use show::{delete, detail, index, set_state};

use crate::domain::{Error, InstanceId, Result};

/// The id in a path: what is no id is no instance.
fn id_of(path: &str) -> Result<InstanceId> {
    path.parse()
        .map(InstanceId)
        .map_err(|_| Error::not_found("There is no such instance."))
}
