//! Tasks that stay.

use super::{Bench, assert_problem};
use crate::harness::client::send;
use reqwest::Method;
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<i64> {
    let all = list["tasks"].as_array().expect("a list");
    all.iter()
        .map(|it| it["id"].as_i64().expect("an id"))
        .collect()
}

#[tokio::test]
async fn a_task_is_pinned_at_any_time_and_stays_until_it_is_unpinned() {
    let bench = Bench::start().await;
    let client = &bench.client;
    let mut new = bench.task("exit 3");
    new["pinned"] = json!(true);
    let posted = bench.app.post_task(new.clone()).await;
    assert_eq!(posted["pinned"], true);
    let id = posted["id"].as_i64().expect("an id");
    let path = format!("/wsexec/tasks/{id}");
    bench.app.wait_ended(id).await;
    let plain = bench.running("sleep 60").await;
    let plain_path = format!("/wsexec/tasks/{plain}");
    for (filter, wanted) in [("true", id), ("false", plain)] {
        let list = client.get(&format!("/wsexec/tasks?pinned={filter}")).await;
        assert_eq!(ids(&list.json()), [wanted]);
        let here = format!("/wsexec/tasks?instance={}&pinned={filter}", bench.instance);
        assert_eq!(ids(&client.get(&here).await.json()), [wanted]);
    }
    assert_problem(
        &client.get("/wsexec/tasks?pinned=1").await,
        400,
        &["pinned"],
    );

    // While it runs, too, and it goes on running.
    for pinned in [true, false] {
        let reply = client.put(&plain_path, &json!({"pinned": pinned})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let task = reply.json()["task"].clone();
        let told = [&task["pinned"], &task["state"], &task["amended"]];
        assert_eq!(told, [&json!(pinned), &json!("CURRENT"), &json!(false)]);
    }
    bench.cancel(plain).await;
    assert_eq!(client.delete(&plain_path).await.status, 200);

    let refused = client.delete(&path).await;
    assert_problem(&refused, 409, &[]);
    let detail = format!("Task {id} is pinned. Unpin it, then remove it.");
    assert_eq!(refused.json()["detail"], detail);

    let read = client.get(&path).await;
    let seen = read.header("etag").to_owned();
    // What was read can be sent back, and changes nothing.
    let back = client.put(&path, &read.json()["task"]).await;
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(back.header("etag"), seen);
    let unpin = |seen: &str| {
        let request = client.request(Method::PUT, &path).header("If-Match", seen);
        send(request.json(&json!({"pinned": false})))
    };
    assert_problem(&unpin("\"99\"").await, 412, &[]);
    let reply = unpin(&seen).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let task = reply.json()["task"].clone();
    assert_eq!((&task["pinned"], &task["rc"]), (&json!(false), &json!(3)));
    assert_problem(&unpin(&seen).await, 412, &[]);
    for bad in [json!("yes"), json!(1), json!(null)] {
        let reply = client.put(&path, &json!({"pinned": bad})).await;
        assert_problem(&reply, 400, &["pinned"]);
    }
    assert_eq!(client.delete(&path).await.status, 200);

    let trail = client.get("/wsexec/audit?action=task.*").await.json();
    let acts: Vec<_> = trail["audit"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["object"] == format!("task/{id}"))
        .map(|it| it["action"].as_str().expect("a word").to_owned())
        .collect();
    let wanted = ["task.create", "task.run", "task.unpin", "task.remove"];
    assert_eq!(acts, wanted);
}
