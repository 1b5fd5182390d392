//! What WSEXEC promises of logins, measured against the built program: see docs/benchmarks.md.
//!
//! `cargo bench --bench access -- [flood]` measures it.

mod flood;
#[path = "../harness/mod.rs"]
mod harness;

use harness::{report, server};
use std::process::ExitCode;

fn main() -> ExitCode {
    harness::figures("access", &["flood"], async |_| flood::measure().await)
}
