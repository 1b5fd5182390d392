//! Instances: declare, read, change, remove.

use super::super::harness::app::App;
use super::super::harness::client::send;
use super::{Bench, assert_problem, send_body};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_instance_is_declared_read_changed_and_removed() {
    let app = App::start().await;
    let client = app.client();
    let new = json!({"ip": "127.0.0.1", "tag": "localhost"});
    let made = client.post("/wsexec/instances", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let uri = format!("{}/wsexec/instances/1", app.url());
    assert_eq!(made.header("location"), uri);
    let expected = json!({"instance": {
        "id": 1, "uri": uri, "ip": "127.0.0.1", "tag": "localhost", "state": "ACTIVE", "port": 22,
        "jump": null, "jump_user": null, "mode": "attached", "labels": {}, "identity": null, "approval": false,
        "host_key": {"state": "unknown", "type": null, "fingerprint": null, "shown": null},
        "health": {
            "last_seen": null, "latency_ms": null, "last_error": null, "last_error_at": null,
            "library": null,
        },
    }});
    assert_eq!(made.json(), expected);

    let read = client.get("/wsexec/instances/1").await;
    assert_eq!((read.status, read.json()), (200, expected.clone()));
    assert_eq!(read.header("etag"), made.header("etag"));

    let change = json!({"state": "DEACTIVE", "port": 2222});
    let changed = client.put("/wsexec/instances/1", &change).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["instance"]["state"], "DEACTIVATE");
    assert_eq!(changed.json()["instance"]["port"], 2222);
    assert_eq!(changed.json()["instance"]["tag"], "localhost");
    assert_ne!(changed.header("etag"), made.header("etag"));

    let named = json!({"id": 1, "tag": "other"});
    let changed = client.put("/wsexec/instances", &named).await;
    assert_eq!(changed.json()["instance"]["tag"], "other");

    let removed = client.delete("/wsexec/instances/1").await;
    assert_eq!(
        (removed.status, removed.json()),
        (200, json!({"result": true}))
    );
    assert_problem(&client.get("/wsexec/instances/1").await, 404, &[]);
    let again = client.post("/wsexec/instances", &new).await;
    assert_eq!(again.json()["instance"]["id"], 2, "an id is never reused");
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_and_what_is_fixed_cannot_be_changed() {
    let app = App::start().await;
    let client = app.client();
    let new = json!({"ip": "::1", "port": 2200, "state": "DEACTIVATE"});
    let made = client.post("/wsexec/instances", &new).await;
    let whole = made.json()["instance"].clone();
    for path in ["/wsexec/instances/1", "/wsexec/instances"] {
        let reply = client.put(path, &whole).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["instance"], whole);
    }
    let by_path = json!({"uri": "/wsexec/instances/1"});
    assert_eq!(
        client.put("/wsexec/instances/1", &by_path).await.status,
        200
    );
    for fixed in [
        json!({"id": 2}),
        json!({"uri": "https://elsewhere/wsexec/instances/2"}),
        json!({"host_key": null}),
    ] {
        let reply = client.put("/wsexec/instances/1", &fixed).await;
        assert_problem(&reply, 409, &[]);
    }
    let nobody = client.put("/wsexec/instances", &json!({"tag": "x"})).await;
    assert_problem(&nobody, 400, &["id"]);
    let wrong = r#"{"ip":"a b","port":0,"state":"x","colour":1,"id":0}"#;
    let reply = send_body(&client, Method::PUT, "/wsexec/instances/1", wrong).await;
    assert_problem(&reply, 400, &["ip", "port", "state", "colour", "id"]);
}

#[tokio::test]
async fn if_match_refuses_whoever_was_slower() {
    let app = App::start().await;
    let client = app.client();
    let made = client
        .post("/wsexec/instances", &json!({"ip": "127.0.0.1"}))
        .await;
    let first = made.header("etag").to_owned();
    let put = async |tag: &str, body: &'static str| {
        let request = client
            .request(Method::PUT, "/wsexec/instances/1")
            .header("If-Match", tag)
            .header("Content-Type", "application/json");
        send(request.body(body)).await
    };
    let changed = put(&first, r#"{"tag":"a"}"#).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let second = changed.header("etag").to_owned();
    assert_problem(&put(&first, r#"{"tag":"b"}"#).await, 412, &[]);
    assert_problem(
        &put(&format!("W/{second}"), r#"{"tag":"b"}"#).await,
        412,
        &[],
    );
    assert_problem(&put("\"elsewhere\"", r#"{"tag":"b"}"#).await, 412, &[]);
    assert_problem(&put("7", r#"{"tag":"b"}"#).await, 400, &["If-Match"]);
    let one_of = format!("{first}, {second}");
    assert_eq!(put(&one_of, r#"{"tag":"c"}"#).await.status, 200);
    assert_eq!(put("*", r#"{"tag":"d"}"#).await.status, 200);

    let remove = async |tag: &str| {
        let request = client.request(Method::DELETE, "/wsexec/instances/1");
        send(request.header("If-Match", tag)).await
    };
    assert_problem(&remove(&first).await, 412, &[]);
    let now = client
        .get("/wsexec/instances/1")
        .await
        .header("etag")
        .to_owned();
    assert_eq!(remove(&now).await.status, 200);
}

#[tokio::test]
async fn an_instance_stays_while_a_task_there_has_not_ended_and_its_tasks_stay_for_ever() {
    let bench = Bench::start().await;
    let path = format!("/wsexec/instances/{}", bench.instance);
    bench.run("true").await;
    let id = bench.running("sleep 60").await;
    assert_problem(&bench.client.delete(&path).await, 409, &[]);
    bench.cancel(id).await;
    let instance = bench.client.get(&path).await.json();
    assert_eq!(instance["instance"]["host_key"]["state"], "trusted");
    let fingerprint = instance["instance"]["host_key"]["fingerprint"]
        .as_str()
        .unwrap();
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
    assert_eq!(bench.client.delete(&path).await.status, 200);
    let found = format!("/wsexec/tasks?instance={}", bench.instance);
    assert_eq!(bench.client.get(&found).await.json()["tasks"][1]["id"], id);
    assert_problem(
        &bench
            .client
            .post("/wsexec/tasks", &bench.task("true"))
            .await,
        404,
        &[],
    );
}
