//! Instances: the list, one instance, the forms, and what can be done to one.

mod bulk;
mod check;
mod form;
mod host_key;
mod list;
mod show;

pub use bulk::{ask as ask_bulk, carry_out as carry_out_bulk};
pub use check::try_out;
pub use form::{blank, create, edit, save};
pub use host_key::decide;
pub use list::index;
pub use show::{delete, detail, set_state};

use crate::domain::{Error, InstanceId, Result};

/// The id in a path: what is no id is no instance.
fn id_of(path: &str) -> Result<InstanceId> {
    path.parse()
        .map(InstanceId)
        .map_err(|_| Error::not_found("There is no such instance."))
}
