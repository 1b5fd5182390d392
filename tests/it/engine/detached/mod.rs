//! Runs that outlive the server.

mod machine;
mod output;
mod reach;
mod restart;
mod stop;
mod sweep;

use super::{cancel, is_current, on, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A detached task with further fields; gives its id.
async fn post_with(app: &App, instance: i64, script: &str, more: Value) -> i64 {
    let mut task = json!({
        "name": "test", "instance": instance, "user": user(), "script": script, "mode": "detached",
    });
    let fields = task.as_object_mut().unwrap();
    fields.extend(more.as_object().cloned().unwrap_or_default());
    app.post_task(task).await["id"].as_i64().expect("an id")
}

async fn post(app: &App, instance: i64, script: &str) -> i64 {
    post_with(app, instance, script, json!({})).await
}

fn state_directory(sshd: &Sshd) -> PathBuf {
    sshd.dir().join(".local/state/wsexec")
}

/// The directories of runs on the machine.
fn directories(sshd: &Sshd) -> Vec<String> {
    let Ok(entries) = fs::read_dir(state_directory(sshd)) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|e| e.file_name().into_string());
    names.map(Result::unwrap).collect()
}

/// Ends what a test has left behind.
pub fn end_those_with(marker: &str) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let pid = process
            .file_name()
            .to_string_lossy()
            .parse()
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid
            && String::from_utf8_lossy(&line).contains(marker)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
