//! `wsexec audit`

use super::settings::DataFlags;
use super::{Failure, say};
use crate::app;
use crate::domain::{AuditFilter, AuditVerdict};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `wsexec audit`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Finds any edit or removal in the audit trail, also beside a running server
    Verify {
        /// Look at an export instead: JSON lines, from any record on, none left out
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Writes the audit trail to stdout as JSON lines, also beside a running server
    Export {
        #[command(flatten)]
        filter: FilterFlags,
        #[command(flatten)]
        data: DataFlags,
    },
}

#[derive(Debug, clap::Args)]
struct FilterFlags {
    /// Not before this time: Unix seconds, or such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    since: Option<i64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    until: Option<i64>,
    /// Only by this name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only this act; with * at the end all that begin so
    #[arg(long)]
    action: Option<String>,
    /// Only on this object, such as instance/3
    #[arg(long)]
    object: Option<String>,
}

fn seconds(text: &str) -> Result<i64, String> {
    let instant = || OffsetDateTime::parse(text, &Rfc3339).map(OffsetDateTime::unix_timestamp);
    text.parse()
        .or_else(|_| instant())
        .map_err(|_| "must be Unix seconds, or such as 2026-01-31T00:00:00Z".to_owned())
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Verify { file, data } => {
            let config = data.load()?;
            let verdict = match &file {
                None => app::verify_audit(&config)?,
                Some(path) => {
                    let file = File::open(path).map_err(|e| {
                        Failure::new(format!("cannot read {}: {e}", path.display()))
                    })?;
                    app::verify_export(&config, BufReader::new(file))?
                }
            };
            Ok(tell(&verdict, file.is_some()))
        }
        Command::Export { filter, data } => {
            let filter = AuditFilter {
                by: filter.by,
                action: filter.action,
                object: filter.object,
                since: filter.since,
                until: filter.until,
            };
            let mut out = BufWriter::new(io::stdout().lock());
            let mut closed = false;
            app::export_audit(&data.load()?, &filter, |line| {
                let written = writeln!(out, "{line}");
                closed = matches!(&written, Err(e) if e.kind() == ErrorKind::BrokenPipe);
                written
            })
            .and_then(|()| out.flush().map_err(crate::domain::Error::internal))
            .map_or_else(
                // Where nobody reads any more, there is nobody to tell.
                |error| {
                    if closed {
                        Ok(ExitCode::SUCCESS)
                    } else {
                        Err(error.into())
                    }
                },
                |()| Ok(ExitCode::SUCCESS),
            )
        }
    }
}

/// One line for each thing that is wrong, and one for all of it.
fn tell(verdict: &AuditVerdict, export: bool) -> ExitCode {
    for fault in &verdict.faults {
        say(&format!("FAIL {fault}"));
    }
    let records = verdict.records;
    let end = verdict.head.as_ref().map_or_else(String::new, |head| {
        let mac: String = head.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("; the last is {} with the MAC {mac}", head.n)
    });
    let anchored = match (export, verdict.anchored) {
        (true, _) => match verdict.first {
            Some(first) if first > 1 => format!(
                "What was before record {first}, that record's own MAC, and what comes after the \
                 last one cannot be told from an export."
            ),
            _ => "What comes after the last one cannot be told from an export.".to_owned(),
        },
        (false, Some(n)) => format!("The anchor knows {n} of them."),
        (false, None) => "There is no anchor: whether the end was cut off is not known.".to_owned(),
    };
    let good = verdict.faults.is_empty();
    let word = if good { "ok" } else { "FAIL" };
    say(&format!("{word} {records} records{end}. {anchored}"));
    ExitCode::from(u8::from(!good))
}
