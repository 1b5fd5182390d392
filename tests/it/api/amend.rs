//! Amendments: the result of a task that has ended may be corrected, and what ran stays.

use super::super::harness::client::send;
use super::{Bench, assert_problem, send_body};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_ended_task_is_amended_and_the_raw_endpoints_still_give_what_ran() {
    let bench = Bench::start().await;
    bench.run("echo ran; echo oops >&2; exit 1").await;
    let change = json!({"rc": "5", "stdout": "ok", "name": "better", "tag": "fixed"});
    let reply = bench.client.put("/wsexec/tasks/1", &change).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let task = reply.json()["task"].clone();
    assert_eq!(
        (
            &task["rc"],
            &task["stdout"],
            &task["stderr"],
            &task["name"],
            &task["tag"]
        ),
        (
            &json!(5),
            &json!("ok"),
            &json!("oops\n"),
            &json!("better"),
            &json!("fixed")
        )
    );
    assert_eq!(
        (&task["amended"], &task["state"]),
        (&json!(true), &json!("DONE"))
    );
    assert_eq!(
        bench.client.get("/wsexec/tasks/1").await.json()["task"],
        task
    );
    let listed = bench.client.get("/wsexec/tasks").await.json();
    assert_eq!(listed["tasks"][0], task);
    assert_eq!(
        bench.client.get("/wsexec/tasks/1/stdout").await.text(),
        "ran\n"
    );

    let named = json!({"id": 1, "stdout": "", "rc": null});
    let task = bench.client.put("/wsexec/tasks", &named).await.json()["task"].clone();
    assert_eq!((&task["stdout"], &task["rc"]), (&json!(""), &json!(null)));
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_and_changes_nothing() {
    let bench = Bench::start().await;
    let task = bench.run(r"printf 'a\377b'; exit 2").await;
    for path in ["/wsexec/tasks/1", "/wsexec/tasks"] {
        let reply = bench.client.put(path, &task).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["task"], task);
    }
    let mut other = task.clone();
    other["uri"] = "/wsexec/tasks/1".into();
    other["instance"] = bench.instance.to_string().into();
    other["tag"] = "new".into();
    let reply = bench.client.put("/wsexec/tasks/1", &other).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["task"]["tag"], "new");
}

#[tokio::test]
async fn a_member_that_may_not_change_is_409_and_named() {
    let bench = Bench::start().await;
    bench.run("true").await;
    for (member, value) in [
        ("id", json!(2)),
        ("uri", json!("https://localhost/wsexec/tasks/2")),
        ("instance", json!(99)),
        ("script", json!("false")),
        ("user", json!("nobody")),
        ("start", json!(0)),
        ("end", json!(null)),
        ("outcome", json!("lost")),
        ("reason", json!("because")),
        ("signal", json!("TERM")),
        ("created", json!(0)),
        ("created_by", json!("nobody")),
        ("timeout", json!(5)),
        ("cancel_requested", json!(true)),
        ("amended", json!(true)),
        ("stdout_bytes", json!(5)),
        ("stderr_gap", json!({"offset": 0, "length": 1})),
    ] {
        let reply = bench
            .client
            .put("/wsexec/tasks/1", &json!({member: value}))
            .await;
        assert_problem(&reply, 409, &[]);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(member), "{member}: {detail}");
    }
}

#[tokio::test]
async fn wrong_members_of_a_change_are_400() {
    let bench = Bench::start().await;
    bench.run("true").await;
    let wrong = r#"{"id":"1","state":"DONNE","name":"","tag":1,"rc":"x","stdout":null,"colour":1}"#;
    let reply = send_body(&bench.client, Method::PUT, "/wsexec/tasks/1", wrong).await;
    let fields = ["id", "state", "name", "tag", "rc", "stdout", "colour"];
    assert_problem(&reply, 400, &fields);
    let nobody = bench.client.put("/wsexec/tasks", &json!({"rc": 5})).await;
    assert_problem(&nobody, 400, &["id"]);
}

#[tokio::test]
async fn if_match_refuses_whoever_was_slower() {
    let bench = Bench::start().await;
    bench.run("true").await;
    let first = bench
        .client
        .get("/wsexec/tasks/1")
        .await
        .header("etag")
        .to_owned();
    let put = async |tag: &str| {
        let request = bench.client.request(Method::PUT, "/wsexec/tasks/1");
        send(request.header("If-Match", tag).json(&json!({"tag": tag}))).await
    };
    let changed = put(&first).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_ne!(changed.header("etag"), first);
    assert_problem(&put(&first).await, 412, &[]);
    let remove = bench.client.request(Method::DELETE, "/wsexec/tasks/1");
    assert_problem(&send(remove.header("If-Match", &first)).await, 412, &[]);
}

#[tokio::test]
async fn nothing_is_amended_before_the_end() {
    let bench = Bench::start().await;
    let id = bench.running("echo begun; sleep 60").await;
    let path = format!("/wsexec/tasks/{id}");
    for change in [
        json!({"rc": 0}),
        json!({"stdout": "x"}),
        json!({"name": "x"}),
    ] {
        assert_problem(&bench.client.put(&path, &change).await, 409, &[]);
    }
    bench.cancel(id).await;
}
