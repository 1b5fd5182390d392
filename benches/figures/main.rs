//! The figures that WSEXEC promises, measured against the built program: see docs/benchmarks.md.
//!
//! `cargo bench --bench figures -- [a|b|c|d|e|f|g]...` measures the named ones, or all.

mod bare;
mod disk;
mod gets;
#[path = "../harness/mod.rs"]
mod harness;
mod masking;
mod nginx;
mod output;
mod posts;
mod rest;
mod tasks;

use harness::{memory, report, server, wrk};
use std::process::ExitCode;

fn main() -> ExitCode {
    harness::figures(
        "figures",
        &["a", "b", "c", "d", "e", "f", "g"],
        async |figure| match figure {
            "a" => tasks::measure().await,
            "b" => gets::measure().await,
            "c" => posts::measure().await,
            "d" => output::measure().await,
            "g" => output::measure_many().await,
            "f" => masking::measure().await,
            _ => rest::measure().await,
        },
    )
}
