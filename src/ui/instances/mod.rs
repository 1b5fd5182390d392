//! Instances: the list, one instance, the forms, and what can be done to one.

mod form;
mod show;

pub use form::{blank, create, edit, save};
pub use show::{delete, detail, index, set_state};

use crate::domain::{Error, InstanceId, Result};

/// The id in a path: what is no id is no instance.
fn id_of(path: &str) -> Result<InstanceId> {
    path.parse()
        .map(InstanceId)
        .map_err(|_| Error::not_found("There is no such instance."))
}
