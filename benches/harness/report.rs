//! What is printed.

use std::fs;
use std::path::Path;

/// One figure.
pub struct Row {
    pub figure: &'static str,
    pub goal: &'static str,
    pub seen: String,
    pub met: bool,
}

/// Prints the figures; what is missed is no error.
pub fn table(rows: &[Row]) {
    println!();
    print!("{}", markdown(rows));
}

/// The figures as a table.
pub fn markdown(rows: &[Row]) -> String {
    let head = ("figure", "goal", "seen", "met");
    let width = |text: fn(&Row) -> &str, head: &str| {
        let longest = rows.iter().map(|row| text(row).chars().count()).max();
        longest.unwrap_or(0).max(head.len())
    };
    let figure = width(|row| row.figure, head.0);
    let goal = width(|row| row.goal, head.1);
    let seen = width(|row| &row.seen, head.2);
    let mut text = String::new();
    let mut line = |a: &str, b: &str, c: &str, d: &str| {
        text.push_str(&format!(
            "| {a:figure$} | {b:goal$} | {c:seen$} | {d:3} |\n"
        ));
    };
    line(head.0, head.1, head.2, head.3);
    line(
        &"-".repeat(figure),
        &"-".repeat(goal),
        &"-".repeat(seen),
        "---",
    );
    for row in rows {
        let met = if row.met { "yes" } else { "no" };
        line(row.figure, row.goal, &row.seen, met);
    }
    text
}

/// Keeps a page beside the benchmarks.
pub fn write(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches")
        .join(name);
    fs::write(&file, text).expect("it may write there");
    println!("\nwritten to {}", file.display());
}

/// The day, in UTC.
pub fn today() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.date().to_string()
}

/// The machine in a line.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: String, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.split_once(':'))
            .map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let memory = field(read("/proc/meminfo"), "MemTotal");
    let model = field(read("/proc/cpuinfo"), "model name");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores ({model}), memory {memory}, load before {load}")
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "something was measured");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The smallest and the largest.
pub fn span(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
}
