//! What WSEXEC promises of its pages, measured against the built program: see docs/benchmarks.md.
//!
//! `cargo bench --bench pages -- [a|b|c]...` measures the named ones, or all.

#[path = "../harness/mod.rs"]
mod harness;
mod history;
mod lag;
mod screen;

use harness::{report, server};
use std::process::ExitCode;

fn main() -> ExitCode {
    harness::figures("pages", &["a", "b", "c"], async |figure| match figure {
        "a" => history::measure().await,
        "b" => lag::measure().await,
        _ => screen::measure().await,
    })
}
