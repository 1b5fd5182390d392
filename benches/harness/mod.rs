//! What the benchmarks stand on. Of the tests: a client of the API, a real sshd, the program without
//! anything of the machine's configuration. And a network namespace, load, the look at what a
//! process uses, the table.
#![allow(dead_code, unused_imports, reason = "the tests use more of it")]

#[path = "../../tests/it/harness/app.rs"]
pub mod app;
#[path = "../../tests/it/harness/client.rs"]
pub mod client;
#[path = "../../tests/it/harness/planted.rs"]
pub mod planted;
#[path = "../../tests/it/harness/process.rs"]
pub mod process;
#[path = "../../tests/it/harness/sshd.rs"]
pub mod sshd;
#[path = "../../tests/it/harness/users.rs"]
pub mod users;

pub mod memory;
pub mod netns;
pub mod past;
pub mod report;
pub mod server;
pub mod wrk;

use report::Row;
use sshd::{Builder, Sshd};
use std::process::ExitCode;

/// An sshd whose scripts find no home, so that nothing in the user's `.bashrc` is measured: bash
/// reads it for each command over SSH.
pub fn sshd() -> Builder {
    Sshd::builder().line("SetEnv HOME=/nonexistent")
}

/// Measures the figures that are named by their letters, or all, and prints the table.
///
/// What is missed is no error.
pub fn figures(bench: &str, letters: &[&str], measure: impl AsyncFn(&str) -> Vec<Row>) -> ExitCode {
    figures_told(bench, letters, measure, |_, _| {})
}

/// The same, and tells of them: the rows, and whether they are all that there are.
pub fn figures_told(
    bench: &str,
    letters: &[&str],
    measure: impl AsyncFn(&str) -> Vec<Row>,
    tell: impl FnOnce(&[Row], bool),
) -> ExitCode {
    let usage = format!(
        "usage: cargo bench --bench {bench} -- [{}]...",
        letters.join("|")
    );
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Started by `cargo test --all-targets`: figures are never a test.
    if !arguments.iter().any(|a| a == "--bench") {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    let named = arguments.iter().map(String::as_str);
    let mut wanted: Vec<&str> = named.filter(|a| *a != "--bench").collect();
    if wanted.iter().any(|a| !letters.contains(a)) {
        eprintln!("{usage}");
        return ExitCode::from(2);
    }
    if wanted.is_empty() {
        wanted = letters.to_vec();
    }
    let whole = letters.iter().all(|it| wanted.contains(it));
    if let Some(code) = netns::enter() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("{}\n", report::machine());
    let mut rows = Vec::new();
    for letter in wanted {
        rows.extend(runtime.block_on(measure(letter)));
    }
    report::table(&rows);
    tell(&rows, whole);
    ExitCode::SUCCESS
}
