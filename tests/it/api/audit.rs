//! The audit trail: what is on it, filters, pages, lines.

use super::super::harness::app::App;
use super::super::harness::client::Client;
use super::{Bench, assert_problem, get_with};
use serde_json::{Value, json};

async fn records(client: &Client, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("/wsexec/audit{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["audit"].as_array().unwrap().clone()
}

fn acts(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_done_to_a_task_is_on_record_and_what_was_amended_stays_there() {
    let bench = Bench::start().await;
    let task = bench.run("echo out; exit 3").await;
    let path = format!("/wsexec/tasks/{}", task["id"]);
    let reply = bench
        .client
        .put(&path, &json!({"rc": 0, "stdout": "none"}))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sleeper = bench.running("sleep 60").await;
    bench.cancel(sleeper).await;
    assert_eq!(bench.client.delete(&path).await.status, 200);

    let found = records(&bench.client, &format!("?object=task/{}", task["id"])).await;
    assert_eq!(
        acts(&found),
        ["task.create", "task.run", "task.amend", "task.remove"]
    );
    assert_eq!(found[0]["by"], "admin");
    assert_eq!(found[0]["from"], "127.0.0.1");
    assert_eq!(found[0]["via"], "password");
    assert_eq!(found[0]["detail"]["user"], bench.user);
    assert_eq!(found[1]["by"], "wsexec");
    assert_eq!(found[2]["detail"]["old"]["rc"], 3, "{}", found[2]);
    assert!(!found[0].to_string().contains("echo out"), "no script");

    let found = records(&bench.client, &format!("?object=task/{sleeper}")).await;
    assert_eq!(acts(&found), ["task.create", "task.run", "task.cancel"]);
    let reply = bench
        .client
        .post(
            &format!("/wsexec/instances/{}/check", bench.instance),
            &json!({"user": bench.user}),
        )
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        records(&bench.client, "?action=instance.check").await.len(),
        1
    );
}

#[tokio::test]
async fn the_list_is_narrowed_and_comes_in_pages() {
    let app = App::start().await;
    for port in 1..6 {
        app.declare("127.0.0.1", port).await;
    }
    let client = app.client();
    let all = records(&client, "").await;
    let numbers: Vec<i64> = all.iter().map(|it| it["n"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as i64).collect::<Vec<_>>());
    assert_eq!(records(&client, "?action=instance.*").await.len(), 5);
    assert_eq!(
        records(&client, "?action=instance.create&object=instance/2")
            .await
            .len(),
        1
    );
    assert_eq!(records(&client, "?action=instance").await.len(), 0);
    assert_eq!(records(&client, "?by=wsexec").await.len(), 1);
    assert_eq!(records(&client, "?until=1577836800").await.len(), 0);
    assert_eq!(records(&client, "?since=1577836800").await.len(), all.len());

    let mut query = "?order=desc&limit=2&action=instance.*".to_owned();
    let mut seen = Vec::new();
    loop {
        let reply = client.get(&format!("/wsexec/audit{query}")).await;
        for it in reply.json()["audit"].as_array().unwrap() {
            seen.push(it["object"].as_str().unwrap().to_owned());
        }
        let Some((url, _)) = reply.header("link").split_once('>') else {
            break;
        };
        query = format!("?{}", url.split_once('?').unwrap().1);
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(|id| format!("instance/{id}")));
    for (query, field) in [
        ("?action=DROP", "action"),
        ("?action=a*b", "action"),
        ("?since=x", "since"),
        ("?order=up", "order"),
        ("?format=csv", "format"),
    ] {
        assert_problem(
            &client.get(&format!("/wsexec/audit{query}")).await,
            400,
            &[field],
        );
    }
}

#[tokio::test]
async fn it_is_exported_as_lines_where_these_are_asked_for() {
    let app = App::start().await;
    let client = app.client();
    app.declare("127.0.0.1", 1).await;
    let whole = records(&client, "").await;
    let asked = client.get("/wsexec/audit?format=jsonl").await;
    let accepted = get_with(&client, "/wsexec/audit", ("Accept", "application/x-ndjson")).await;
    for reply in [asked, accepted] {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = reply
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, whole);
    }
}
