//! A 201 means that the task is on disk: the kernel was asked to sync before it was sent.

use super::strace::{Call, Strace};
use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::effort::effort;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

const CALLS: &str = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg";

/// A POST, in seconds since 1970.
struct Posted {
    sent: f64,
    answered: f64,
}

async fn post(client: &Client, task: &Value) -> Posted {
    let sent = now();
    let reply = client.post("/wsexec/tasks", task).await;
    let answered = now();
    assert_eq!(reply.status, 201, "{}", reply.text());
    Posted { sent, answered }
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs_f64()
}

fn is_log(call: &Call) -> bool {
    call.arguments.contains("wsexec.db-wal")
}

fn is_sync(call: &Call) -> bool {
    ["fdatasync", "fsync"].contains(&call.name.as_str()) && call.result == 0 && is_log(call)
}

fn is_answer(call: &Call) -> bool {
    call.name != "pwrite64" && call.result > 0 && call.arguments.contains("<TCP")
}

/// Between a request and its answer: the log is written, then synced whole, then something is sent.
fn is_synced(posted: &Posted, calls: &[Call]) -> bool {
    let within = |call: &&Call| call.began >= posted.sent && call.ended <= posted.answered;
    let mut during = calls.iter().filter(within);
    let Some(write) = during.find(|it| it.name == "pwrite64" && is_log(it)) else {
        return false;
    };
    let Some(sync) = during.find(|it| is_sync(it) && it.began >= write.ended) else {
        return false;
    };
    calls
        .iter()
        .any(|it| is_answer(it) && it.began >= sync.ended && it.began <= posted.answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_each_201_the_log_of_the_store_was_written_and_synced() {
    let (alone, together) = effort((30, 64), (2000, 512));
    let sshd = Sshd::start();
    let builder = App::builder().config("[engine]\nmax_per_instance = 1\n[log]\nlevel = \"warn\"");
    let app = builder.identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task =
        |script: &str| json!({"name": "t", "instance": instance, "user": user(), "script": script});
    // The one place is taken, so that nothing but posts writes to the store.
    let first = app.post_task(task("exec sleep 600")).await["id"]
        .as_i64()
        .expect("an id");
    crate::engine::located(&app, first).await;
    let client = app.client();
    let waiting = task("true");
    let Some(strace) = Strace::look(&app, CALLS).await else {
        return;
    };
    let mut one_by_one = Vec::new();
    for _ in 0..alone {
        one_by_one.push(post(&client, &waiting).await);
    }
    let mut at_once = JoinSet::new();
    for _ in 0..together {
        let (client, waiting) = (client.clone(), waiting.clone());
        at_once.spawn(async move { post(&client, &waiting).await });
    }
    let at_once = at_once.join_all().await;
    let calls = strace.detach().await;

    let syncs = |from: f64, to: f64| {
        let within = |it: &&Call| it.began >= from && it.ended <= to;
        calls.iter().filter(within).filter(|it| is_sync(it)).count()
    };
    let span = |posted: &[Posted]| {
        let sent = posted.iter().map(|it| it.sent).fold(f64::MAX, f64::min);
        let answered = posted.iter().map(|it| it.answered).fold(0.0, f64::max);
        syncs(sent, answered)
    };
    let unsynced = |posted: &[Posted]| posted.iter().filter(|it| !is_synced(it, &calls)).count();
    println!(
        "figure: {} of {alone} 201s one by one, {} of {together} at once, were sent without a sync of the log \
         before; {} and {} syncs",
        unsynced(&one_by_one),
        unsynced(&at_once),
        span(&one_by_one),
        span(&at_once)
    );
    assert_eq!(unsynced(&one_by_one), 0);
    assert_eq!(unsynced(&at_once), 0);
    assert!(span(&one_by_one) >= alone);
}
