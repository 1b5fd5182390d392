//! `wsexec identity` and `wsexec secrets`, on a data directory and beside a running server.

use crate::harness::app::{App, Builder, DEADLINE, Process};
use crate::harness::sshd::Sshd;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The configuration that names these key files.
fn config(app: &App, current: &str, previous: &[&str]) -> PathBuf {
    let path = |name: &str| app.path(name).display().to_string();
    let previous: Vec<_> = previous.iter().map(|it| path(it)).collect();
    let text = format!(
        "[secrets]\nmaster_key_file = {:?}\nprevious_key_files = {previous:?}\n",
        path(current)
    );
    let file = app.path(&format!("{current}.toml"));
    fs::write(&file, text).unwrap();
    file
}

/// What a command said, and its exit code.
async fn say(
    app: &App,
    arguments: &[&str],
    config: Option<&PathBuf>,
    stdin: &str,
) -> (i32, String) {
    let mut command = app.command();
    command.args(arguments);
    if let Some(config) = config {
        command
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(app.data());
    }
    let said = Process::spawn_with(&mut command, stdin.as_bytes())
        .said()
        .await;
    (
        said.code.unwrap_or(-1),
        format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr),
    )
}

#[tokio::test]
async fn secrets_go_from_one_master_key_to_the_next_also_after_a_kill() {
    let app = App::start().await;
    for key in ["old", "new"] {
        let path = app.path(key).display().to_string();
        let (code, said) = say(&app, &["secrets", "init", &path], None, "").await;
        assert_eq!(code, 0, "{said}");
        let (code, said) = say(&app, &["secrets", "init", &path], None, "").await;
        assert_eq!(code, 1, "it is not replaced: {said}");
    }
    let before = config(&app, "old", &[]);
    for n in 0..3 {
        let name = format!("s{n}");
        let add = ["identity", "add", &name, "--kind", "secret"];
        let (code, said) = say(&app, &add, Some(&before), "correct horse\n").await;
        assert_eq!(code, 0, "{said}");
    }
    let (code, line) = say(&app, &["identity", "generate", "k"], Some(&before), "").await;
    assert!(code == 0 && line.starts_with("ssh-ed25519 "), "{line}");
    let (_, listed) = say(&app, &["identity", "list"], Some(&before), "").await;
    assert!(
        listed.contains("s0\tsecret") && !listed.contains("horse"),
        "{listed}"
    );

    let without = config(&app, "new", &[]);
    let (code, said) = say(&app, &["secrets", "check"], Some(&without), "").await;
    assert!(code == 1 && said.contains("not known here"), "{said}");
    let both = config(&app, "new", &["old"]);
    // Interrupted at any time, every value opens.
    for wait in [0, 5, 20, 40] {
        let mut command = app.command();
        command.args(["secrets", "rekey", "--config"]).arg(&both);
        command.arg("--data").arg(app.data());
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let (code, said) = say(&app, &["secrets", "check"], Some(&both), "").await;
        assert_eq!(code, 0, "{said}");
    }
    let (code, said) = say(&app, &["secrets", "rekey"], Some(&both), "").await;
    assert!(code == 0 && said.contains("of no use any more"), "{said}");
    let only = config(&app, "new", &[]);
    let (code, said) = say(&app, &["secrets", "check"], Some(&only), "").await;
    assert!(code == 0 && said.contains("(current): 4 values"), "{said}");
    let (code, said) = say(&app, &["identity", "remove", "s0"], Some(&only), "").await;
    assert_eq!(code, 0, "{said}");
    let left = app.client().get("/wsexec/identities").await.json();
    assert_eq!(left["identities"].as_array().unwrap().len(), 3);
    assert_ne!(left, json!(null));
}

/// A server that keeps so many secrets under a key, which it then knows as the older one of two.
async fn between_two_keys(secrets: usize, builder: Builder) -> (App, TempDir) {
    let keys = TempDir::new().unwrap();
    let [old, new] = ["old", "new"].map(|name| keys.path().join(name));
    for path in [&old, &new] {
        wsexec::vault::write_key(path, &wsexec::vault::generate()).unwrap();
    }
    let before = format!("[secrets]\nmaster_key_file = {old:?}");
    let mut app = builder.config(&before).start().await;
    for n in 0..secrets {
        let new = json!({"name": format!("s{n}"), "kind": "secret", "value": value(n)});
        let reply = app.client().post("/wsexec/identities", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    app.configure(&format!(
        "[secrets]\nmaster_key_file = {new:?}\nprevious_key_files = [{old:?}]"
    ));
    app.restart().await;
    (app, keys)
}

fn value(n: usize) -> String {
    format!("a secret of many, number {n}")
}

fn store(app: &App) -> Connection {
    let store = Connection::open(app.data().join("wsexec.db")).unwrap();
    store.busy_timeout(DEADLINE).unwrap();
    store
}

/// How many values are under which key.
fn by_key(store: &Connection) -> Vec<i64> {
    let mut counts = store
        .prepare("SELECT count(*) FROM secrets GROUP BY key ORDER BY 1")
        .unwrap();
    let counts = counts.query_map([], |row| row.get(0)).unwrap();
    counts.collect::<Result<_, _>>().unwrap()
}

fn rekey(app: &App) -> Command {
    let mut command = app.command();
    command.args(["secrets", "rekey", "--config", "wsexec.toml"]);
    command
}

#[tokio::test]
async fn a_rekeying_that_is_killed_between_two_batches_loses_nothing_and_is_gone_on_with() {
    const ALL: usize = 150;
    let (mut app, _keys) = between_two_keys(ALL, App::builder()).await;
    app.stop().await;
    // The second batch waits in its transaction for as long as these rows take to be counted.
    let stop = "CREATE TRIGGER rekey_waits AFTER UPDATE ON secrets
         WHEN (SELECT count(*) FROM audit WHERE action = 'secret.rekey') >= 1
         BEGIN
             SELECT count(*) FROM audit a, audit b, audit c, audit d, audit e, audit f;
         END";
    store(&app).execute_batch(stop).unwrap();
    let mut child = Process::spawn(&mut rekey(&app));
    let begin = Instant::now();
    while by_key(&store(&app)).len() < 2 {
        assert!(begin.elapsed() < DEADLINE && child.is_running());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(child.is_running(), "it is between two batches");
    child.signal(Signal::KILL);
    assert!(child.wait_exit(DEADLINE).await.is_some());
    assert_eq!(by_key(&store(&app)), [64, 86], "one batch is done, whole");

    let say = async |command: &str| {
        let mut program = app.command();
        program.args(["secrets", command, "--config", "wsexec.toml"]);
        let said = Process::spawn(&mut program).said().await;
        assert_eq!(said.code, Some(0), "{}{}", said.text(), said.stderr);
        said.text()
    };
    let checked = say("check").await;
    assert!(checked.contains("(current): 64 values"), "{checked}");
    assert!(checked.contains("(previous): 86 values"), "{checked}");
    store(&app)
        .execute_batch("DROP TRIGGER rekey_waits")
        .unwrap();
    let done = say("rekey").await;
    assert!(done.contains("86 values were encrypted anew"), "{done}");
    assert!(done.contains("(current): 150 values"), "{done}");
    assert!(done.contains("of no use any more"), "{done}");
    assert!(say("rekey").await.contains("0 values were encrypted anew"));
    let acts = store(&app)
        .prepare("SELECT detail ->> 'values' FROM audit WHERE action = 'secret.rekey' ORDER BY n")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<Vec<i64>, _>>()
        .unwrap();
    assert_eq!(acts, [64, 64, 22]);
}

#[tokio::test]
async fn scripts_find_their_secrets_while_these_go_to_another_key_beside_the_server() {
    const ALL: usize = 130;
    let sshd = Sshd::start();
    let builder = App::builder().identity(sshd.identity());
    let (app, _keys) = between_two_keys(ALL, builder).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let run = async |n: usize| {
        let n = n % ALL;
        let mode = ["attached", "detached"][n % 2];
        let task = json!({
            "name": "n", "instance": instance, "user": sshd.user(),
            "script": "base64 < \"$IT_FILE\" | rev; wc -c < \"$IT_FILE\"",
            "secrets": {"IT": format!("s{n}")}, "mode": mode,
        });
        let reply = app.client().post("/wsexec/tasks?wait=60", &task).await;
        let task = reply.json()["task"].clone();
        assert_eq!(task["rc"], 0, "s{n}: {task:#}");
        let out = task["stdout"].as_str().unwrap();
        let length = value(n).len().to_string();
        assert_eq!(out.lines().last().map(str::trim), Some(&*length), "{out}");
    };
    run(0).await;
    // Each batch takes a while, so that runs fall before, between and after them.
    let slow = "CREATE TRIGGER rekey_is_slow AFTER INSERT ON audit WHEN NEW.action = 'secret.rekey'
         BEGIN
             SELECT count(*) FROM secrets a, secrets b, secrets c, (SELECT 1 FROM secrets LIMIT 15);
         END";
    store(&app).execute_batch(slow).unwrap();
    let rekeying = Process::spawn(&mut rekey(&app));
    let mut ran = 0;
    while rekeying.is_running() {
        futures_util::future::join_all((ran..ran + 4).map(run)).await;
        ran += 4;
    }
    let said = rekeying.said().await;
    assert_eq!(said.code, Some(0), "{}{}", said.text(), said.stderr);
    assert!(said.text().contains("130 values were encrypted anew"));
    assert!(ran >= 4, "{ran}");
    assert_eq!(by_key(&store(&app)), [130]);
    futures_util::future::join_all((0..8).map(run)).await;
}
