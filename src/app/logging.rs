//! The log: lines on stderr, for people or for programs.

use crate::config::{self, LogFormat, LogLevel};
use crate::domain::{Error, Result};
use crate::traces::{self, Traces};
use std::fmt as text;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;
use tracing_subscriber::util::TryInitError;

/// Libraries that write passwords at DEBUG and plaintext at TRACE. Their errors are shown, and
/// nothing that anybody configures shows more.
const TELLTALES: [&str; 4] = ["thrussh", "thrussh_keys", "thrussh_libsodium", "cryptovec"];

/// Sends `tracing` and `log` records to stderr from now on, and panics too; spans for traces go to
/// their collector alone.
///
/// # Errors
/// `Internal` where this process logs already.
pub(super) fn start(log: &config::Log, traces: Option<&Traces>) -> Result<()> {
    let coloured = std::io::stderr().is_terminal();
    let layer = fmt::layer()
        .with_writer(move || OneLine { coloured })
        .with_ansi(coloured);
    let filter = filter(log.level);
    let registry = tracing_subscriber::registry().with(traces.map(Traces::layer));
    let started: std::result::Result<(), TryInitError> = match log.format {
        LogFormat::Text => registry.with(layer.with_filter(filter)).try_init(),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true);
            registry.with(layer.with_filter(filter)).try_init()
        }
    };
    started.map_err(Error::internal)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// stderr, with each record in a line of its own: what others wrote into it makes no second one,
/// and no terminal that shows the log obeys it.
struct OneLine {
    /// Whether escapes are ours: the library takes those out that others wrote.
    coloured: bool,
}

impl Write for OneLine {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let line = one_line(&String::from_utf8_lossy(record), self.coloured);
        io::stderr().write_all(line.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The record without control characters but its last line end: `\u001b` stands for each, which is
/// what JSON has for it, too.
fn one_line(record: &str, coloured: bool) -> String {
    let text = record.strip_suffix('\n').unwrap_or(record);
    let mut line = String::with_capacity(record.len());
    for c in text.chars() {
        if c.is_control() && !(coloured && c == '\u{1b}') {
            // Writing to a String does not fail.
            let _ = text::Write::write_fmt(&mut line, format_args!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

/// Ours as configured, everything else from WARN. `RUST_LOG` is not read: who can set a variable
/// cannot make a library tell secrets.
fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("wsexec", ours)
        .with_target(traces::TARGET, LevelFilter::OFF)
        .with_targets(TELLTALES.map(|name| (name, LevelFilter::ERROR)))
}

/// Where it happened. The message only where it is a literal: a formatted one may hold anything.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let message = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(
        place = place.as_deref().unwrap_or("unknown"),
        message = message.copied().unwrap_or("(not shown: it may hold data)"),
        "a panic"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_record_is_one_line_whatever_stands_in_it() {
        let record = "who=a\nINFO forged\r\u{1b}[2J\u{9b}K b\n";
        let line = one_line(record, false);
        assert_eq!(line, "who=a\\u000aINFO forged\\u000d\\u001b[2J\\u009bK b\n");
        assert_eq!(one_line("\u{1b}[2mx\n", true), "\u{1b}[2mx\n");
    }

    #[test]
    fn no_level_makes_the_ssh_library_tell_what_it_saw() {
        for level in [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
        ] {
            let filter = filter(level);
            for target in ["thrussh::client", "thrussh_keys::agent", "cryptovec"] {
                assert!(filter.would_enable(target, &Level::ERROR));
                assert!(!filter.would_enable(target, &Level::WARN), "{target}");
                assert!(!filter.would_enable(target, &Level::TRACE), "{target}");
            }
        }
    }

    #[test]
    fn ours_follow_the_level_and_others_only_warn() {
        let filter = filter(LogLevel::Debug);
        assert!(filter.would_enable("wsexec::engine", &Level::DEBUG));
        assert!(filter.would_enable("hyper::proto", &Level::WARN));
        assert!(!filter.would_enable("hyper::proto", &Level::INFO));
    }
}
