//! How a script is run, as the API takes and shows it.

use super::{Bench, assert_problem};
use serde_json::json;

#[tokio::test]
async fn what_a_task_says_of_its_run_is_kept_and_shown() {
    let bench = Bench::start().await;
    let mut new = bench.task("true");
    for (name, value) in [
        ("mode", json!("attached")),
        ("env", json!({"B": "2", "A": "it's \"1\"\n"})),
        ("cwd", json!("/tmp")),
        ("interpreter", json!("/bin/sh -u")),
        ("become", json!({"user": "root"})),
        ("stdin_base64", json!("AP8=")),
        ("retries", json!(2)),
        ("retry_delay", json!(7)),
    ] {
        new[name] = value;
    }
    let posted = bench.client.post("/wsexec/tasks", &new).await;
    assert_eq!(posted.status, 201, "{}", posted.text());
    let task = &posted.json()["task"];
    for name in [
        "mode",
        "env",
        "cwd",
        "interpreter",
        "retries",
        "retry_delay",
    ] {
        assert_eq!(task[name], new[name], "{name}");
    }
    let root = json!({"user": "root", "method": "sudo", "password": null});
    assert_eq!((&task["become"], &task["stdin_bytes"]), (&root, &json!(2)));
    assert!(task.get("stdin").is_none() && task.get("stdin_base64").is_none());
    let id = task["id"].as_i64().unwrap();
    let read = bench.app.wait_ended(id).await;
    let path = format!("/wsexec/tasks/{id}");
    let put = bench.client.put(&path, &read).await;
    assert_eq!(
        put.status,
        200,
        "what was read can be sent back: {}",
        put.text()
    );
}

#[tokio::test]
async fn what_is_wrong_with_it_is_named() {
    let bench = Bench::start().await;
    let long = "x".repeat(70_000);
    for (field, value) in [
        ("mode", json!("loose")),
        ("env", json!({"A=B": "x"})),
        ("env", json!({"A": "x\0y"})),
        ("env", json!({"1A": "x"})),
        ("env", json!({"": "x"})),
        ("env", json!({"A": 1})),
        ("env", json!({"A": long})),
        ("env", json!(["A"])),
        ("cwd", json!("a\nb")),
        ("cwd", json!("")),
        ("interpreter", json!(" ")),
        ("interpreter", json!("a\0b")),
        ("become", json!("root")),
        ("become", json!({"user": "-u"})),
        ("become", json!({"user": "a", "method": "su"})),
        ("become", json!({"user": "a", "password": "not a name"})),
        (
            "become",
            json!({"user": "a", "method": "doas", "password": "x"}),
        ),
        ("become", json!({"user": "a", "more": 1})),
        ("pty", json!("yes")),
        ("stdin", json!(1)),
        ("stdin_base64", json!("no base64")),
        ("retries", json!(-1)),
        ("retries", json!(101)),
        ("retry_delay", json!(86_401)),
    ] {
        let mut new = bench.task("true");
        new[field] = value.clone();
        let reply = bench.client.post("/wsexec/tasks", &new).await;
        assert_problem(&reply, 400, &[field]);
    }
    let pairs = [
        (
            json!({"stdin": "a", "stdin_base64": "YQ=="}),
            "stdin_base64",
        ),
        (json!({"pty": true, "stdin": "a"}), "stdin"),
        (json!({"pty": true, "mode": "detached"}), "pty"),
    ];
    for (members, field) in pairs {
        let mut new = bench.task("true");
        let members = members.as_object().unwrap().clone();
        new.as_object_mut().unwrap().extend(members);
        let reply = bench.client.post("/wsexec/tasks", &new).await;
        assert_problem(&reply, 400, &[field]);
    }
}

#[tokio::test]
async fn only_stdin_and_an_interpreted_script_make_a_body_longer_than_others() {
    let bench = Bench::start().await;
    let mut new = bench.task("true");
    new["stdin"] = "\u{1}".repeat(3 * 1024 * 1024).into();
    let posted = bench.client.post("/wsexec/tasks", &new).await;
    assert_eq!(posted.status, 201, "{}", posted.text());
    new["tag"] = "x".repeat(2 * 1024 * 1024).into();
    let reply = bench.client.post("/wsexec/tasks", &new).await;
    assert_problem(&reply, 413, &[]);
    new["tag"] = "".into();
    new["stdin"] = "x".repeat(16 * 1024 * 1024 + 1).into();
    let reply = bench.client.post("/wsexec/tasks", &new).await;
    assert_problem(&reply, 400, &["stdin"]);
    let mut script = bench.task(&"#".repeat(2 * 1024 * 1024));
    let reply = bench.client.post("/wsexec/tasks", &script).await;
    assert_problem(&reply, 413, &[]);
    script["interpreter"] = "sh".into();
    let posted_script = bench.client.post("/wsexec/tasks", &script).await;
    assert_eq!(posted_script.status, 201, "{}", posted_script.text());
    let mut long = bench.task("true");
    long["stdin"] = "x".repeat(25 * 1024 * 1024).into();
    let reply = bench.client.post("/wsexec/tasks", &long).await;
    assert_problem(&reply, 413, &[]);
    let path = format!("/wsexec/tasks/{}", posted.json()["task"]["id"]);
    let change = json!({"name": "x".repeat(2 * 1024 * 1024)});
    assert_problem(&bench.client.put(&path, &change).await, 413, &[]);
}
