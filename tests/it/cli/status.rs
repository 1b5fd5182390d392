use crate::harness::app::{App, DEADLINE, Process, program};
use crate::harness::process::Said;
use crate::harness::sshd::{self, Sshd};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use tempfile::TempDir;

async fn status(app: &App) -> Said {
    Process::spawn(app.command().arg("status")).said().await
}

async fn object(app: &App) -> (Option<i32>, Value) {
    let said = Process::spawn(app.command().args(["status", "--json"]))
        .said()
        .await;
    let object = serde_json::from_slice(&said.stdout);
    let object = object.unwrap_or_else(|e| panic!("{e}: {} {}", said.text(), said.stderr));
    (said.code, object)
}

/// What it says, once the server is in this state.
async fn once(app: &App, state: &str) -> (Option<i32>, Value) {
    let begin = Instant::now();
    loop {
        let (code, told) = object(app).await;
        if told["server"]["state"] == state {
            return (code, told);
        }
        assert!(begin.elapsed() < DEADLINE, "not {state}: {told:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_its_tasks_and_its_store_are_told_and_nothing_is_changed() {
    let sshd = Sshd::start();
    let mut app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    app.run(instance, &sshd::user(), "exit 3").await;
    let task = json!({
        "name": "test", "instance": instance, "user": sshd::user(), "script": "sleep 600",
    });
    let running = app.post_task(task).await["id"].as_i64().unwrap();
    app.wait_until(running, |it| it["state"] == "CURRENT").await;

    let before = listing(&app);
    let (code, told) = object(&app).await;
    assert_eq!(code, Some(0), "{told:#}");
    let server = &told["server"];
    assert_eq!(server["state"], "ready");
    assert_eq!(server["url"], app.url());
    assert_eq!(server["pid"], app.pid());
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["tasks"]["CURRENT"], 1, "{told:#}");
    assert_eq!(told["tasks"]["runs_longest"]["id"], running);
    assert_eq!(told["tasks"]["runs_longest"]["instance"], instance);
    assert_eq!(told["store"]["schema"], told["store"]["schema_known"]);
    assert_eq!(told["store"]["min_free"], 512 * 1024 * 1024);
    assert!(told["store"]["bytes"].as_u64().unwrap() > 4096, "{told:#}");
    assert!(told["audit"]["n"].as_i64().unwrap() >= 4, "{told:#}");
    let now = server["seen"].as_i64().unwrap();
    assert!(
        told["certificate"]["until"].as_i64().unwrap() > now,
        "{told:#}"
    );

    let said = status(&app).await;
    assert_eq!(said.code, Some(0), "{}", said.text());
    for part in [
        format!("server: ready, {}, version ", app.url()),
        "store: data, schema ".into(),
        "1 CURRENT".into(),
        format!("runs longest: task {running} on instance {instance} since 2"),
        "audit trail: ".into(),
        "certificate: certs/wsexec.crt, issued by itself, good until ".into(),
    ] {
        assert!(said.text().contains(&part), "{part} in {}", said.text());
    }
    assert_eq!(listing(&app), before);

    app.signal(Signal::TERM);
    let (code, told) = once(&app, "not ready").await;
    assert_eq!(code, Some(1), "{told:#}");
    assert!(
        told["server"]["trouble"]
            .as_str()
            .unwrap()
            .contains("stops"),
        "{told:#}"
    );
    app.signal(Signal::TERM);
    app.wait_exit().await;
    let (code, told) = object(&app).await;
    assert_eq!(
        (code, &told["server"]["state"]),
        (Some(1), &json!("absent"))
    );
    assert!(told["tasks"]["DONE"].as_i64().unwrap() >= 1, "{told:#}");
    app.start_again().await;
    assert_eq!(object(&app).await.0, Some(0));
}

#[tokio::test]
async fn a_server_that_waits_for_places_tells_what_has_waited_longest() {
    let sshd = Sshd::start();
    let config = "[engine]\nmax_running = 1";
    let app = App::builder()
        .config(config)
        .identity(sshd.identity())
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = json!({
        "name": "test", "instance": instance, "user": sshd::user(), "script": "sleep 600",
    });
    let running = app.post_task(task.clone()).await["id"].as_i64().unwrap();
    app.wait_until(running, |it| it["state"] == "CURRENT").await;
    let waiting = app.post_task(task.clone()).await["id"].as_i64().unwrap();
    app.post_task(task).await;
    let (_, told) = object(&app).await;
    assert_eq!(told["tasks"]["INIT"], 2, "{told:#}");
    assert_eq!(told["tasks"]["waits_longest"]["id"], waiting, "{told:#}");
    let said = status(&app).await;
    assert!(
        said.text()
            .contains(&format!("waits longest: task {waiting} since 2"))
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_told_from_one_that_is_well() {
    let app = App::start().await;
    app.signal(Signal::STOP);
    // As if it had hung for a minute.
    let lock = app.data().join("lock");
    let words = fs::read_to_string(&lock).expect("what it has said");
    let mut said: Value = serde_json::from_str(words.lines().next().unwrap()).expect("JSON");
    said["at"] = json!(said["at"].as_i64().unwrap() - 60);
    fs::write(&lock, format!("{said}\n")).expect("the lock's words");
    let (code, told) = object(&app).await;
    assert_eq!(
        (code, &told["server"]["state"]),
        (Some(1), &json!("silent"))
    );
    assert!(status(&app).await.text().contains("server: silent since "));
    app.signal(Signal::CONT);
    let (code, _) = once(&app, "ready").await;
    assert_eq!(code, Some(0), "it says again how it is");
}

#[tokio::test]
async fn without_a_server_nothing_is_made() {
    let home = TempDir::new().unwrap();
    let said = Process::spawn(program(home.path()).arg("status"))
        .said()
        .await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.text().starts_with("server: not running\n"),
        "{}",
        said.text()
    );
    assert!(
        said.text().contains("store: none in data"),
        "{}",
        said.text()
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

fn listing(app: &App) -> Vec<String> {
    let entries = fs::read_dir(app.data()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
