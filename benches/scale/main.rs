//! How WSEXEC grows: with the tasks that it keeps, and with the hosts that it runs on. See
//! docs/benchmarks.md.
//!
//! `cargo bench --bench scale -- [a|b]...` measures the named ones, or all; then it writes
//! benches/RESULTS-scale.md with its pictures.

#[path = "../harness/mod.rs"]
mod harness;
mod hosts;
mod lists;
mod plot;
#[path = "../harness/simulated.rs"]
#[allow(dead_code, reason = "trust uses more of it")]
mod simulated;
mod tasks;

use harness::report::{self, Row};
use harness::{memory, server};
use plot::Plot;
use std::cell::RefCell;
use std::process::ExitCode;

/// What one part found: figures, and how they grew.
struct Found {
    rows: Vec<Row>,
    plots: Vec<Plot>,
    /// Tables for the page, in Markdown.
    text: String,
}

fn main() -> ExitCode {
    if let Some(code) = simulated::serve() {
        return code;
    }
    let told = RefCell::new((Vec::new(), String::new()));
    harness::figures_told(
        "scale",
        &["a", "b"],
        async |letter| {
            let found = match letter {
                "a" => tasks::measure().await,
                _ => hosts::measure().await,
            };
            let mut told = told.borrow_mut();
            told.0.extend(found.plots);
            told.1.push_str(&found.text);
            found.rows
        },
        |rows, whole| {
            if whole {
                let (plots, text) = &*told.borrow();
                write(rows, plots, text);
            }
        },
    )
}

fn write(rows: &[Row], plots: &[Plot], text: &str) {
    report::write("RESULTS-scale.svg", &plot::svg(plots));
    let page = format!(
        "# How WSEXEC grows\n\nWritten by `cargo bench --bench scale`, {}.\n\n{}; wsexec {}, Linux {}.\n\n{}\n\
         ![How start, lists, memory and cost grow](RESULTS-scale.svg)\n\n{text}",
        report::today(),
        report::machine(),
        env!("CARGO_PKG_VERSION"),
        std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim(),
        report::markdown(rows),
    );
    report::write("RESULTS-scale.md", &page);
}
