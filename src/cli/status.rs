//! `wsexec status`

use super::settings::ServerFlags;
use super::{Failure, moment, say};
use crate::app::{self, Glance, Holds, Presence, Server, Status};
use crate::config::Config;
use serde_json::{Value, json};
use std::process::ExitCode;

const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One JSON object, for programs; times are Unix seconds, sizes bytes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: ServerFlags,
}

/// Exit code 0 where a server runs on the data directory and is ready, else 1.
pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.flags.load()?;
    let status = app::status(&config)?;
    match arguments.json {
        true => say(&object(&config, &status).to_string()),
        false => tell(&config, &status),
    }
    Ok(match status.presence.is_ready() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn tell(config: &Config, status: &Status) {
    say(&format!("server: {}", server(&status.presence)));
    match &status.store {
        Ok(Some(glance)) => store(config, glance),
        Ok(None) => say(&format!(
            "store: none in {}; `wsexec serve` makes it",
            config.data.display()
        )),
        Err(wrong) => say(&format!("store: {wrong}")),
    }
    match &status.certificate {
        Ok(Some(found)) => {
            let told = found.warning().unwrap_or_else(|| found.origin());
            say(&format!("certificate: {}, {told}", found.path().display()));
        }
        Ok(None) => say("certificate: none; `wsexec serve` makes one"),
        Err(wrong) => say(&format!("certificate: {wrong}")),
    }
}

fn server(presence: &Presence) -> String {
    let known = |server: &Server| {
        format!(
            "https://{}, version {}, process {}, since {}",
            server.address,
            server.version,
            server.pid,
            moment(server.since)
        )
    };
    match presence {
        Presence::Absent => "not running".into(),
        Presence::Starting => "starting".into(),
        Presence::Silent(server) => {
            let last = moment(server.at);
            format!(
                "silent since {last}: it hangs or is stopped; {}",
                known(server)
            )
        }
        Presence::Present(server) => match &server.trouble {
            None => format!("ready, {}", known(server)),
            Some(trouble) => format!("not ready, {}: {trouble}", known(server)),
        },
    }
}

fn store(config: &Config, glance: &Glance) {
    let (found, known) = glance.schema;
    let schema = match found == known {
        true => format!("schema {found}"),
        false => format!("schema {found}, which `wsexec serve` brings up to date to {known}"),
    };
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB);
    say(&format!(
        "store: {}, {schema}, {}; {} free on its disk, of which {} stay free",
        config.data.display(),
        mib(glance.bytes),
        mib(glance.free),
        mib(config.store.min_free)
    ));
    let Some(holds) = &glance.holds else { return };
    let tasks = holds.tasks.iter();
    let tasks: Vec<_> = tasks
        .map(|(state, n)| format!("{n} {}", state.as_str()))
        .collect();
    say(&format!("tasks: {}", tasks.join(", ")));
    if let Some((task, since)) = holds.waiting {
        let since = moment(since);
        say(&format!("waits longest: task {} since {since}", task.0));
    }
    if let Some((task, instance, since)) = holds.running {
        let since = moment(since);
        let (task, instance) = (task.0, instance.0);
        say(&format!(
            "runs longest: task {task} on instance {instance} since {since}"
        ));
    }
    if let Some(last) = &holds.last {
        let at = moment(last.at);
        say(&format!(
            "audit trail: {} records, the last at {at}: {} by {}",
            last.n, last.action, last.by
        ));
    }
}

fn object(config: &Config, status: &Status) -> Value {
    let state = match &status.presence {
        Presence::Absent => "absent",
        Presence::Starting => "starting",
        Presence::Silent(_) => "silent",
        Presence::Present(server) if server.trouble.is_some() => "not ready",
        Presence::Present(_) => "ready",
    };
    let mut all = json!({"server": {"state": state}, "store": null, "certificate": null});
    if let Presence::Silent(server) | Presence::Present(server) = &status.presence {
        all["server"] = json!({
            "state": state, "url": format!("https://{}", server.address), "version": server.version,
            "pid": server.pid, "since": server.since, "seen": server.at, "trouble": server.trouble,
        });
    }
    match &status.store {
        Ok(Some(glance)) => {
            all["store"] = json!({
                "schema": glance.schema.0, "schema_known": glance.schema.1, "bytes": glance.bytes,
                "free": glance.free, "min_free": config.store.min_free,
            });
            all["tasks"] = glance.holds.as_ref().map_or(Value::Null, tasks);
            let last = glance.holds.as_ref().and_then(|it| it.last.as_ref());
            all["audit"] = last.map_or(
                Value::Null,
                |it| json!({"n": it.n, "at": it.at, "action": it.action, "by": it.by}),
            );
        }
        Ok(None) => {}
        Err(wrong) => all["store"] = json!({"error": wrong}),
    }
    match &status.certificate {
        Ok(Some(it)) => all["certificate"] = json!({"file": it.path(), "until": it.until()}),
        Ok(None) => {}
        Err(wrong) => all["certificate"] = json!({"error": wrong}),
    }
    all
}

fn tasks(holds: &Holds) -> Value {
    let mut tasks: Value = holds
        .tasks
        .iter()
        .map(|(state, n)| (state.as_str(), *n))
        .collect();
    tasks["waits_longest"] = holds.waiting.map_or(
        Value::Null,
        |(task, since)| json!({"id": task.0, "since": since}),
    );
    tasks["runs_longest"] = holds.running.map_or(
        Value::Null,
        |(task, instance, since)| json!({"id": task.0, "instance": instance.0, "since": since}),
    );
    tasks
}
