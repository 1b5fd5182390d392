//! What WSEXEC promises of runs that can be trusted, measured against the built program: see
//! docs/benchmarks.md.
//!
//! `cargo bench --bench trust -- [a|b|c|d|e]...` measures the named ones, or all.

mod cancels;
mod detached;
#[path = "../harness/mod.rs"]
mod harness;
mod many;
mod pool;
mod silent;
#[path = "../harness/simulated.rs"]
#[allow(dead_code, reason = "scale uses more of it")]
mod simulated;

use harness::{memory, report, server, wrk};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = simulated::serve() {
        return code;
    }
    harness::figures(
        "trust",
        &["a", "b", "c", "d", "e"],
        async |figure| match figure {
            "a" => cancels::measure().await,
            "b" => detached::measure().await,
            "c" => pool::measure().await,
            "d" => silent::measure().await,
            _ => many::measure().await,
        },
    )
}
