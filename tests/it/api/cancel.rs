//! Cancels, as the API tells them.

use super::super::harness::app::App;
use super::{Bench, assert_problem};
use serde_json::{Value, json};

#[tokio::test]
async fn a_waiting_task_is_aborted_then_and_there() {
    let bench = Bench::with(App::builder().config("[engine]\nmax_per_instance = 1")).await;
    let running = bench.running("sleep 60").await;
    let waiting = bench.app.post_task(bench.task("true")).await;
    assert_eq!(waiting["state"], "INIT");
    let path = format!("/wsexec/tasks/{}", waiting["id"]);
    let shown = bench.client.get(&path).await.json()["task"].clone();
    assert!(
        shown["reason"].is_string(),
        "it says what it waits for: {shown:#}"
    );

    let aborted = bench.client.put(&path, &json!({"state": "ABORT"})).await;
    assert_eq!(aborted.status, 200, "{}", aborted.text());
    let task = &aborted.json()["task"];
    assert_eq!(
        (&task["state"], &task["outcome"], &task["start"]),
        (&json!("ABORT"), &json!("cancelled"), &Value::Null)
    );
    assert!(task["end"].is_i64());
    bench.cancel(running).await;
}

#[tokio::test]
async fn a_running_task_shows_that_a_cancel_was_asked_for_until_it_has_ended() {
    let bench = Bench::start().await;
    let id = bench.running("trap '' TERM; sleep 60 & wait; wait").await;
    let path = format!("/wsexec/tasks/{id}");
    let whole = bench.client.get(&path).await.json()["task"].clone();
    for _ in 0..2 {
        let reply = bench.client.put(&path, &json!({"state": "ABORT"})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["task"]["cancel_requested"], true);
    }
    let task = bench.app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert_eq!(task["rc"], Value::Null);
    assert_eq!(whole["cancel_requested"], false);
    assert_eq!(
        bench
            .client
            .put(&path, &json!({"state": "ABORT"}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_whole_task_with_another_state_asks_for_a_cancel() {
    let bench = Bench::start().await;
    let id = bench.running("sleep 60").await;
    let path = format!("/wsexec/tasks/{id}");
    let mut whole = bench.client.get(&path).await.json()["task"].clone();
    whole["state"] = "ABORT".into();
    let reply = bench.client.put(&path, &whole).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(bench.app.wait_ended(id).await["outcome"], "cancelled");
}

#[tokio::test]
async fn no_other_state_may_be_set_and_what_is_done_stays_done() {
    let bench = Bench::start().await;
    bench.run("true").await;
    for state in ["ABORT", "INIT", "CURRENT"] {
        let reply = bench
            .client
            .put("/wsexec/tasks/1", &json!({"state": state}))
            .await;
        assert_problem(&reply, 409, &[]);
    }
    let same = bench
        .client
        .put("/wsexec/tasks/1", &json!({"state": "DONE"}))
        .await;
    assert_eq!(same.status, 200);
    for unknown in [json!("done"), json!(""), json!(1), json!(null)] {
        let reply = bench
            .client
            .put("/wsexec/tasks/1", &json!({"state": unknown}))
            .await;
        assert_problem(&reply, 400, &["state"]);
    }
}
