//! WSEXEC beside what people use instead, on one machine in one run: see docs/benchmarks.md.
//!
//! `cargo bench --bench compare -- [a|b|c|d|e]...` measures the named ones, or all, and writes
//! benches/RESULTS.md where all were measured. `scripts/peers` installs the others.

#[path = "../figures/bare.rs"]
#[allow(dead_code, reason = "figures uses more of it")]
mod bare;
mod flask;
mod gets;
mod gigabyte;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../figures/nginx.rs"]
mod nginx;
mod peers;
mod rest;
mod scripts;
#[path = "../harness/simulated.rs"]
#[allow(dead_code, reason = "trust and scale use more of it")]
mod simulated;
mod versions;

use harness::{memory, report, server, wrk};
use std::process::ExitCode;

const LETTERS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn main() -> ExitCode {
    if let Some(code) = simulated::serve() {
        return code;
    }
    harness::figures_told(
        "compare",
        &LETTERS,
        async |letter| match letter {
            "a" => scripts::addresses().await,
            "b" => scripts::one_host().await,
            "c" => gets::measure().await,
            "d" => gigabyte::measure().await,
            _ => rest::measure().await,
        },
        |rows, whole| {
            if whole {
                report::write("RESULTS.md", &versions::results(rows));
            }
        },
    )
}
