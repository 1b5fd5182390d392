//! Tasks: post, read, wait, remove.

use super::{Bench, assert_problem, send_body};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_posted_task_runs_and_tells_all_of_itself() {
    let bench = Bench::start().await;
    let mut new = bench.task("printf out; printf err >&2; exit 3");
    new["tag"] = "essai".into();
    new["instance"] = bench.instance.to_string().into();
    let posted = bench.client.post("/wsexec/tasks", &new).await;
    assert_eq!(posted.status, 201, "{}", posted.text());
    let uri = format!("{}/wsexec/tasks/1", bench.app.url());
    assert_eq!(posted.header("location"), uri);
    assert!(!posted.header("etag").is_empty());

    let task = bench.app.wait_ended(1).await;
    let (start, end) = (
        task["start"].as_i64().unwrap(),
        task["end"].as_i64().unwrap(),
    );
    assert!(start <= end);
    let expected = json!({
        "id": 1, "uri": uri, "name": "test", "tag": "essai", "instance": bench.instance,
        "script": "printf out; printf err >&2; exit 3", "user": bench.user, "start": start,
        "end": end, "stdout": "out", "stderr": "err", "rc": 3, "state": "DONE",
        "outcome": "exited", "reason": null, "signal": null, "created": task["created"],
        "created_by": "admin", "timeout": null, "mode": "attached", "env": {}, "cwd": null,
        "interpreter": null, "become": null, "pty": false, "secrets": {}, "approval": null, "masked": 0, "stdin_bytes": 0, "retries": 0,
        "retry_delay": 10, "attempt": 1, "cancel_requested": false, "amended": false, "pinned": false,
        "stdout_bytes": 3, "stderr_bytes": 3, "stdout_gap": null, "stderr_gap": null,
    });
    assert_eq!(task, expected);
}

#[tokio::test]
async fn output_is_left_out_where_it_is_not_wanted() {
    let bench = Bench::start().await;
    bench.run("echo out").await;
    for path in ["/wsexec/tasks?output=none", "/wsexec/tasks/1?output=none"] {
        let answer = bench.client.get(path).await.json();
        let task = answer["tasks"].get(0).unwrap_or(&answer["task"]);
        assert_eq!(task["stdout_bytes"], 4);
        assert!(task.get("stdout").is_none() && task.get("stderr").is_none());
    }
    let full = bench.client.get("/wsexec/tasks?output=full").await.json();
    assert_eq!(full["tasks"][0]["stdout"], "out\n");
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_shown_as_replacement_characters() {
    let bench = Bench::start().await;
    let task = bench.run(r"printf 'a\377b\303\251\001\342\202'").await;
    assert_eq!(task["stdout"], "a\u{fffd}b\u{e9}\u{1}\u{fffd}");
    let raw = bench.client.get("/wsexec/tasks/1/stdout").await;
    assert_eq!(raw.body, b"a\xffb\xc3\xa9\x01\xe2\x82");
}

#[tokio::test]
async fn large_output_comes_whole_in_a_task_and_in_a_list() {
    let bench = Bench::start().await;
    let task = bench.run("seq 1 200000; seq 1 100000 >&2").await;
    let count = |text: &Value| text.as_str().unwrap().lines().count();
    assert_eq!(
        (count(&task["stdout"]), count(&task["stderr"])),
        (200_000, 100_000)
    );
    let list = bench.client.get("/wsexec/tasks").await.json();
    assert_eq!(list["tasks"][0]["stdout"], task["stdout"]);
    assert_eq!(list["tasks"][0]["stderr"], task["stderr"]);
}

#[tokio::test]
async fn wait_answers_at_the_end_or_when_the_time_is_over() {
    let bench = Bench::start().await;
    let new = bench.task("sleep 1; echo done");
    let posted = bench.client.post("/wsexec/tasks?wait=30", &new).await;
    assert_eq!(posted.status, 201);
    assert_eq!(posted.json()["task"]["stdout"], "done\n");

    let id = bench.running("sleep 60").await;
    let begin = Instant::now();
    let path = format!("/wsexec/tasks/{id}?wait=1");
    let reply = bench.client.get(&path).await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (reply.status, &reply.json()["task"]["state"]),
        (200, &json!("CURRENT"))
    );
    bench.cancel(id).await;
}

#[tokio::test]
async fn scripts_have_1_to_120000_bytes_and_no_nul() {
    let bench = Bench::start().await;
    let script = |bytes: usize| {
        let begin = "printf x #";
        format!("{begin}{}", "c".repeat(bytes - begin.len()))
    };
    assert_eq!(bench.run(&script(120_000)).await["stdout"], "x");
    for bad in [script(120_001), String::new(), "echo a\0b".into()] {
        let reply = bench.client.post("/wsexec/tasks", &bench.task(&bad)).await;
        assert_problem(&reply, 400, &["script"]);
    }
    let lone = bench.task("x").to_string().replace("\"x\"", r#""\udc00""#);
    let reply = send_body(&bench.client, Method::POST, "/wsexec/tasks", lone).await;
    assert_problem(&reply, 400, &[]);
    let list = bench.client.get("/wsexec/tasks?output=none").await.json();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_deactivated_instance_takes_no_task() {
    let bench = Bench::start().await;
    let path = format!("/wsexec/instances/{}", bench.instance);
    bench.client.put(&path, &json!({"state": "DEACTIVE"})).await;
    let reply = bench
        .client
        .post("/wsexec/tasks", &bench.task("true"))
        .await;
    assert_problem(&reply, 409, &[]);
    bench.client.put(&path, &json!({"state": "ACTIVE"})).await;
    assert_eq!(bench.run("echo x").await["stdout"], "x\n");
}

#[tokio::test]
async fn a_task_is_removed_once_it_has_ended() {
    let bench = Bench::start().await;
    let id = bench.running("sleep 60").await;
    let path = format!("/wsexec/tasks/{id}");
    assert_problem(&bench.client.delete(&path).await, 409, &[]);
    bench.cancel(id).await;
    let removed = bench.client.delete(&path).await;
    assert_eq!(
        (removed.status, removed.json()),
        (200, json!({"result": true}))
    );
    assert_problem(&bench.client.get(&path).await, 404, &[]);
    assert_problem(&bench.client.get(&format!("{path}/stdout")).await, 404, &[]);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let bench = Bench::start().await;
    bench.run("echo x").await;
    for path in [
        "/wsexec/tasks",
        "/wsexec/tasks/1",
        "/wsexec/instances",
        "/wsexec/instances/1",
        "/wsexec/tasks/1/stdout",
        "/openapi.json",
        "/docs",
    ] {
        let head = super::send(bench.client.request(Method::HEAD, path)).await;
        let get = bench.client.get(path).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for header in ["content-type", "etag", "content-security-policy"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
        let length = head.header("content-length");
        assert!(
            length.is_empty() || length == get.body.len().to_string(),
            "{path}: {length}"
        );
    }
}
