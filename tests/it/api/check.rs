//! The check of an instance: each step is told apart, with what to do.

use super::{Bench, assert_problem};
use crate::harness::app::App;
use crate::harness::sshd::{Kind, Sshd, fingerprint, user};
use serde_json::{Value, json};
use std::net::TcpListener;

async fn check(app: &App, instance: i64, body: &Value) -> Value {
    let path = format!("/wsexec/instances/{instance}/check");
    let reply = app.client().post(&path, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let check = reply.json()["check"].clone();
    let steps = check["steps"].as_array().unwrap();
    let all_good = steps.iter().all(|step| step["ok"] == true);
    assert_eq!(check["ok"], all_good, "{check:#}");
    check
}

/// What became of each step: its name, and `good`, `bad` or `-`.
fn results(check: &Value) -> Vec<(&str, &str)> {
    let steps = check["steps"].as_array().unwrap();
    let result = |step: &Value| match step["ok"].as_bool() {
        Some(true) => "good",
        Some(false) => "bad",
        None => "-",
    };
    steps
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), result(step)))
        .collect()
}

fn step<'a>(check: &'a Value, name: &str) -> &'a Value {
    let mut steps = check["steps"].as_array().unwrap().iter();
    steps.find(|step| step["name"] == name).unwrap()
}

const NAMES: [&str; 6] = [
    "reachable",
    "host_key",
    "login",
    "shell",
    "state_directory",
    "clock",
];

/// Only this step is bad, those before it are good, those after it were not tried.
#[track_caller]
fn assert_ends_with(check: &Value, bad: &str) {
    let at = NAMES.iter().position(|name| *name == bad).unwrap();
    let result = |n| match n {
        n if n < at => "good",
        n if n == at => "bad",
        _ => "-",
    };
    let expected: Vec<_> = (0..).map(result).zip(NAMES).map(|(r, n)| (n, r)).collect();
    assert_eq!(results(check), expected, "{check:#}");
}

#[tokio::test]
async fn a_machine_that_scripts_can_run_on_is_good_in_every_step() {
    let bench = Bench::start().await;
    let found = check(&bench.app, bench.instance, &json!({"user": bench.user})).await;
    let good: Vec<_> = NAMES.iter().map(|name| (*name, "good")).collect();
    assert_eq!(results(&found), good, "{found:#}");
    let right = fingerprint(&bench.sshd.host_key(Kind::Ed25519));
    let told = step(&found, "host_key")["detail"].as_str().unwrap();
    assert!(told.contains(&right), "{told}");
    let directory = bench.sshd.dir().join(".local/state/wsexec");
    let told = step(&found, "state_directory")["detail"].as_str().unwrap();
    assert!(told.contains(directory.to_str().unwrap()), "{told}");
    let left = std::fs::read_dir(directory).unwrap().count();
    assert_eq!(left, 0, "the check leaves nothing there");
    // The first key is recorded, as by a task, and the machine has been seen.
    let path = format!("/wsexec/instances/{}", bench.instance);
    let instance = bench.client.get(&path).await.json()["instance"].clone();
    assert_eq!(instance["host_key"]["fingerprint"], json!(right));
    assert!(instance["health"]["last_seen"].is_i64(), "{instance:#}");
    assert!(instance["health"]["latency_ms"].is_u64(), "{instance:#}");
}

#[tokio::test]
async fn becoming_another_user_is_tried_where_it_is_asked_for() {
    let bench = Bench::start().await;
    let become_user = |name: &str| json!({"user": bench.user, "become": {"user": name}});
    let found = check(&bench.app, bench.instance, &become_user(&bench.user)).await;
    assert_eq!(step(&found, "become")["ok"], true, "{found:#}");
    assert_eq!(step(&found, "clock")["ok"], true, "{found:#}");
    let found = check(
        &bench.app,
        bench.instance,
        &become_user("nobody-of-that-name"),
    )
    .await;
    let told = step(&found, "become");
    assert_eq!(told["ok"], false, "{found:#}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("nobody-of-that-name"), "{detail}");
    assert_eq!(found["ok"], false);
}

#[tokio::test]
async fn a_server_that_allows_one_session_is_asked_twice() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let body = json!({"user": user(), "become": {"user": user()}});
    let found = check(&app, instance, &body).await;
    assert_eq!(found["ok"], true, "{found:#}");
}

#[tokio::test]
async fn a_port_without_a_server_is_not_reachable_and_nothing_else_is_tried() {
    let app = App::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let instance = app.declare("127.0.0.1", port).await;
    let found = check(&app, instance, &json!({"user": "someone"})).await;
    assert_ends_with(&found, "reachable");
    let told = step(&found, "reachable");
    assert!(
        told["detail"].as_str().unwrap().contains("refused"),
        "{told}"
    );
    assert!(
        told["advice"].as_str().unwrap().contains("SSH server"),
        "{told}"
    );
    let path = format!("/wsexec/instances/{instance}");
    let instance = app.client().get(&path).await.json()["instance"].clone();
    let error = instance["health"]["last_error"].as_str().unwrap();
    assert!(error.contains("refused the connection"), "{error}");
    assert!(instance["health"]["last_seen"].is_null());
}

#[tokio::test]
async fn a_login_that_is_refused_names_the_keys_that_were_offered() {
    let sshd = Sshd::start();
    let stranger = Sshd::start();
    let app = App::builder().identity(stranger.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let found = check(&app, instance, &json!({"user": user()})).await;
    assert_ends_with(&found, "login");
    let told = step(&found, "login");
    let offered = fingerprint(&stranger.identity());
    assert!(
        told["detail"].as_str().unwrap().contains(&offered),
        "{told}"
    );
    assert!(
        told["advice"].as_str().unwrap().contains("authorized_keys"),
        "{told}"
    );
}

#[tokio::test]
async fn a_login_shell_that_runs_nothing_is_told_with_what_it_printed() {
    let sshd = Sshd::builder()
        .line("ForceCommand echo closed on mondays")
        .start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let found = check(&app, instance, &json!({"user": user()})).await;
    assert_ends_with(&found, "shell");
    let told = step(&found, "shell").to_string();
    assert!(
        told.contains("ForceCommand") && told.contains("closed on mondays"),
        "{told}"
    );
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_told_and_the_clock_is_looked_at_all_the_same() {
    let sshd = Sshd::builder().line("SetEnv HOME=/proc/nowhere").start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let found = check(&app, instance, &json!({"user": user()})).await;
    let told = step(&found, "state_directory");
    assert_eq!(told["ok"], false, "{found:#}");
    assert!(
        told["detail"].as_str().unwrap().contains("/proc/nowhere"),
        "{told}"
    );
    assert!(
        told["advice"].as_str().unwrap().contains("XDG_STATE_HOME"),
        "{told}"
    );
    assert_eq!(step(&found, "clock")["ok"], true, "{found:#}");
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused() {
    let app = App::start().await;
    let instance = app.declare("192.0.2.1", 22).await;
    let client = app.client();
    let post = async |id: i64, body: Value| {
        let path = format!("/wsexec/instances/{id}/check");
        client.post(&path, &body).await
    };
    assert_problem(&post(instance + 1, json!({"user": "u"})).await, 404, &[]);
    assert_problem(&post(instance, json!({})).await, 400, &["user"]);
    let wrong = json!({"user": "-u", "become": {"user": ""}, "colour": 1});
    let fields = ["user", "become", "colour"];
    assert_problem(&post(instance, wrong).await, 400, &fields);
}
