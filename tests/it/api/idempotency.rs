//! `Idempotency-Key`.

use super::super::harness::client::{Client, Reply, send};
use super::{Bench, assert_problem};
use reqwest::Method;
use serde_json::{Value, json};

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Reply {
    let request = client.request(Method::POST, path);
    send(request.header("Idempotency-Key", key).json(body)).await
}

#[tokio::test]
async fn the_same_key_and_body_start_nothing_again_and_another_body_is_422() {
    let bench = Bench::start().await;
    let (client, path) = (&bench.client, "/wsexec/tasks");
    let body = bench.task("echo once");
    let first = post(client, path, "k1", &body).await;
    assert_eq!(first.status, 201, "{}", first.text());
    bench.app.wait_ended(1).await;
    let again = post(client, path, "k1", &body).await;
    assert_eq!(again.status, 201);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(
        again.json()["task"]["state"],
        "DONE",
        "the task as it now is"
    );
    let waited = post(client, "/wsexec/tasks?wait=5", "k1", &body).await;
    assert_eq!(waited.json()["task"]["id"], 1);
    assert_problem(
        &post(client, path, "k1", &bench.task("echo other")).await,
        422,
        &[],
    );
    let other = post(client, path, "k2", &body).await;
    assert_eq!(other.json()["task"]["id"], 2);
    let list = client.get("/wsexec/tasks?output=none").await.json();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn racing_duplicates_are_one_task() {
    let bench = Bench::start().await;
    let body = bench.task("echo once");
    let racing = (0..20).map(|_| post(&bench.client, "/wsexec/tasks", "race", &body));
    for reply in futures_util::future::join_all(racing).await {
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.json()["task"]["id"], 1);
    }
}

#[tokio::test]
async fn a_key_holds_for_one_route_and_for_instances_too() {
    let bench = Bench::start().await;
    let body = json!({"ip": "127.0.0.2"});
    let path = "/wsexec/instances";
    let first = post(&bench.client, path, "k", &body).await;
    let again = post(&bench.client, path, "k", &body).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    let other = post(&bench.client, path, "k", &json!({"ip": "127.0.0.3"})).await;
    assert_problem(&other, 422, &[]);
    let task = post(&bench.client, "/wsexec/tasks", "k", &bench.task("true")).await;
    assert_eq!(task.status, 201);
}

#[tokio::test]
async fn a_key_has_1_to_128_visible_characters() {
    let bench = Bench::start().await;
    let body = json!({"ip": "127.0.0.2"});
    let long = "k".repeat(129);
    for bad in ["", "a b", "ké", &long] {
        let reply = post(&bench.client, "/wsexec/instances", bad, &body).await;
        assert_problem(&reply, 400, &["Idempotency-Key"]);
    }
    let good = "k".repeat(128);
    assert_eq!(
        post(&bench.client, "/wsexec/instances", &good, &body)
            .await
            .status,
        201
    );
}
