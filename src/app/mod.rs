//! Puts the parts together: configuration, store, engine, use cases, front ends, listener; starts
//! them, and stops them in the other order.

mod audit;
mod backup;
mod check;
mod data_dir;
mod demo;
mod local;
mod logging;
mod manager;
mod metrics;
mod running;
mod serve;
mod stop;

pub use crate::store::Contents;
pub use audit::{export_audit, verify_audit, verify_export};
pub use backup::{Restored, back_up, drill, restore};
pub use check::{Part, Verdict, check};
pub use demo::{demo, demo_connection, demo_exec};
pub use local::{existing, forget_first_password, local};
pub use serve::serve;

use crate::domain::{Error, Kind};

/// Why something did not start or stop well, for whoever started it.
fn failed(why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Internal, why.to_string())
}
