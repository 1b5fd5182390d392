//! `wsexec demo`

use crate::domain::Result;

/// Runs the demo
pub fn demo() -> Result<()> {
    Ok(())
}
