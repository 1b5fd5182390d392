//! The ways to run a script: its environment, directory, interpreter, input, terminal.

mod environment;
mod input;
mod interpreter;
mod machine;

use super::{cancel, on, reason, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use serde_json::{Value, json};
use std::path::Path;

/// Runs a script that is to be run in some way, and gives the ended task.
async fn run(app: &App, sshd: &Sshd, instance: i64, script: &str, way: Value) -> Value {
    let id = post(app, sshd, instance, script, way).await;
    app.wait_ended(id).await
}

async fn post(app: &App, sshd: &Sshd, instance: i64, script: &str, way: Value) -> i64 {
    let mut task =
        json!({"name": "test", "instance": instance, "user": sshd.user(), "script": script});
    for (member, value) in way.as_object().expect("an object") {
        task[member] = value.clone();
    }
    app.post_task(task).await["id"].as_i64().expect("an id")
}

fn assert_start_failed(task: &Value, because: &str) {
    assert_eq!(task["outcome"], "start_failed", "{task:#}");
    assert!(reason(task).contains(because), "{task:#}");
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}
