//! Endless output on many channels at once.

use crate::engine::{cancel, is_current, on, post, runs, wait_for};
use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::effort::effort;
use crate::harness::sshd::Sshd;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Resident memory of the server, in KiB.
const BOUND: u64 = 256 * 1024;
/// What a busy machine may take to end them all.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn floods_on_many_channels_stay_within_their_memory_and_all_end_when_cancelled() {
    let floods = effort(30, 100);
    let time = Duration::from_secs(effort(10, 60));
    let sshd = Sshd::start();
    // Soon past the head; and each cancel is answered with what is kept.
    let config = format!(
        "[engine]\nmax_per_instance = {floods}\ncancel_grace = 2\noutput_limit = 1048576\n\
         [log]\nlevel = \"info\""
    );
    let (app, instance) = on(&sshd, App::builder().config(&config)).await;
    let marker = format!("flood-{}", sshd.port());
    let script = format!("exec yes {marker}");
    let mut ids = Vec::new();
    for _ in 0..floods {
        ids.push(post(&app, instance, &script).await);
    }
    let client = app.client();
    let mut most = 0;
    for id in &ids {
        let began = Instant::now();
        while look(&client, *id).await["stdout_bytes"].as_u64() == Some(0) {
            assert!(began.elapsed() < LIMIT, "they begin late");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        most = most.max(app.rss_kib());
    }
    let began = Instant::now();
    while began.elapsed() < time {
        most = most.max(app.rss_kib());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut told = JoinSet::new();
    let began = Instant::now();
    for id in &ids {
        assert_eq!(cancel(&app, *id).await.0, 200);
    }
    for id in ids {
        let client = client.clone();
        told.spawn(async move {
            loop {
                let task = look(&client, id).await;
                if !is_current(&task) {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    let mut bytes = 0;
    while let Some(task) = told.join_next().await {
        let task = task.expect("no panic");
        assert_eq!(task["outcome"], "cancelled", "{task:#}");
        bytes += task["stdout_bytes"].as_u64().expect("a number");
        most = most.max(app.rss_kib());
        assert!(began.elapsed() < LIMIT, "they end late");
    }
    println!(
        "figure: {floods} floods for {time:?}: {} MB, {} MiB resident at the most; all cancelled after {:?}",
        bytes / 1_000_000,
        most / 1024,
        began.elapsed()
    );
    wait_for(|| !runs(&format!("yes\0{marker}")), "the end of all").await;
    assert!(most < BOUND, "{most} KiB");
}

/// A task without its output.
async fn look(client: &Client, id: i64) -> Value {
    let path = format!(
        "/wsexec/tasks?output=none&limit=1&order=desc&before={}",
        id + 1
    );
    client.get(&path).await.json()["tasks"][0].clone()
}
