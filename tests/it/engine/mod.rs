//! What the engine promises: order, limits, ends, restarts.

mod approvals;
mod become_user;
mod cancel;
mod detached;
mod dropped;
mod host_keys;
mod lapsed;
mod logs;
mod order;
mod output;
mod pool;
mod redaction;
mod restart;
mod retries;
pub mod secrets;
mod ways;

use crate::harness::app::{App, Builder};
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A server that logs in with the sshd's key, and that sshd declared as an instance.
async fn on(sshd: &Sshd, builder: Builder) -> (App, i64) {
    let app = builder.identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    (app, instance)
}

/// Posts a script, and gives the task's id.
async fn post(app: &App, instance: i64, script: &str) -> i64 {
    let task = json!({"name": "test", "instance": instance, "user": user(), "script": script});
    app.post_task(task).await["id"].as_i64().expect("an id")
}

async fn cancel(app: &App, id: i64) -> (u16, Value) {
    let path = format!("/wsexec/tasks/{id}");
    let reply = app.client().put(&path, &json!({"state": "ABORT"})).await;
    (reply.status, reply.json())
}

fn is_current(task: &Value) -> bool {
    task["state"] == "CURRENT"
}

/// Waits for a file that a script makes.
async fn wait_for_file(path: &Path) {
    wait_for(|| path.exists(), "the file").await;
}

async fn wait_for(condition: impl Fn() -> bool, what: &str) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{what} does not come"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process with this in its command line runs.
fn runs(marker: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        std::fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    })
}

/// The process that leads a running task's session, once the server has it on record.
pub async fn located(app: &App, id: i64) -> u32 {
    let begin = Instant::now();
    loop {
        let store = rusqlite::Connection::open(app.data().join("wsexec.db")).expect("the store");
        let pid: Option<u32> = store
            .query_row("SELECT process_pid FROM tasks WHERE id = ?1", [id], |row| {
                row.get(0)
            })
            .expect("the task");
        if let Some(pid) = pid {
            return pid;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it is not located"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills a process of this machine.
fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_raw(pid.try_into().expect("a process")).expect("a process");
    kill_process(pid, Signal::KILL).expect("it runs");
}

fn reason(task: &Value) -> &str {
    task["reason"].as_str().unwrap_or_default()
}
