//! What has to hold of pages, whatever a script writes.

/// See there.
pub use super::output::fuzzing::output;
