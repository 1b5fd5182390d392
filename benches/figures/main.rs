//! The figures that WSEXEC promises, measured against the built program: see docs/benchmarks.md.
//!
//! `cargo bench --bench figures -- [a|b|c|d|e]...` measures the named ones, or all.

mod bare;
mod disk;
mod gets;
mod harness;
mod memory;
mod netns;
mod nginx;
mod output;
mod posts;
mod report;
mod rest;
mod server;
mod tasks;
mod wrk;

use report::Row;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo bench --bench figures -- [a|b|c|d|e]...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Started by `cargo test --all-targets`: figures are never a test.
    if !arguments.iter().any(|a| a == "--bench") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let mut wanted: Vec<&str> = Vec::new();
    for argument in arguments.iter().filter(|a| *a != "--bench") {
        match argument.as_str() {
            "a" | "b" | "c" | "d" | "e" => wanted.push(argument),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if wanted.is_empty() {
        wanted = vec!["a", "b", "c", "d", "e"];
    }
    if let Some(code) = netns::enter() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("{}\n", report::machine());
    let mut rows: Vec<Row> = Vec::new();
    for figure in wanted {
        rows.extend(runtime.block_on(async {
            match figure {
                "a" => tasks::measure().await,
                "b" => gets::measure().await,
                "c" => posts::measure().await,
                "d" => output::measure().await,
                _ => rest::measure().await,
            }
        }));
    }
    report::table(&rows);
    ExitCode::SUCCESS
}
