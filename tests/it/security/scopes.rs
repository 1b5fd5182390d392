//! What somebody is narrowed to: nothing else shows, whatever it is asked by.

use crate::harness::app::App;
use crate::harness::client::{Client, send};
use reqwest::Method;
use serde_json::{Value, json};

/// An instance and a task there, which the narrowed user does not see, and one that it does.
struct Place {
    app: App,
    ann: Client,
    seen: i64,
    hidden: i64,
    /// On what is seen, as `deploy` and as `root`, and on what is hidden.
    tasks: [i64; 3],
}

const SECRET: &str = "db-secret.invalid";

impl Place {
    async fn new(role: &str) -> Self {
        let app = App::builder()
            .config("[ssh]\nconnect_timeout = 1")
            .start()
            .await;
        let seen = app.declare("web-1.invalid", 1).await;
        let hidden = app.declare(SECRET, 1).await;
        let mut tasks = [0; 3];
        for (task, (instance, user)) in
            tasks
                .iter_mut()
                .zip([(seen, "deploy"), (seen, "root"), (hidden, "deploy")])
        {
            let new = json!({
                "name": format!("n-{user}-{instance}"), "script": "echo common", "user": user,
                "instance": instance,
            });
            let reply = app.client().post("/wsexec/tasks?wait=30", &new).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            *task = reply.json()["task"]["id"].as_i64().expect("an id");
        }
        let (ann, _) = app.add_user("ann", role, &["deploy@web-*"]).await;
        Self {
            app,
            ann,
            seen,
            hidden,
            tasks,
        }
    }
}

fn ids(list: &Value) -> Vec<i64> {
    let rows = list.as_array().expect("a list");
    rows.iter().filter_map(|row| row["id"].as_i64()).collect()
}

#[tokio::test]
async fn lists_hold_what_is_in_the_scope_and_nothing_else() {
    let it = Place::new("operator").await;
    for query in [
        "",
        "?q=invalid",
        "?order=desc&limit=1",
        "?state=ACTIVE",
        "?before=1000",
    ] {
        let reply = it.ann.get(&format!("/wsexec/instances{query}")).await;
        assert_eq!(ids(&reply.json()["instances"]), [it.seen], "{query}");
        assert!(!reply.text().contains("secret"), "{query}");
    }
    for query in [
        "",
        "?q=common",
        "?state=ABORT",
        "?order=desc&limit=1",
        "?output=none",
    ] {
        let reply = it.ann.get(&format!("/wsexec/tasks{query}")).await;
        assert_eq!(ids(&reply.json()["tasks"]), [it.tasks[0]], "{query}");
    }
    for query in [
        format!("instance={}", it.hidden),
        "user=root".into(),
        format!("q=n-deploy-{}", it.hidden),
        format!("name=n-root-{}", it.seen),
    ] {
        let reply = it.ann.get(&format!("/wsexec/tasks?{query}")).await;
        assert_eq!(ids(&reply.json()["tasks"]), [0_i64; 0], "{query}");
    }
    let hidden = it.ann.get(&format!("/wsexec/instances?ip={SECRET}")).await;
    assert_eq!(ids(&hidden.json()["instances"]), [0_i64; 0]);
    // The counts of other pages, too: one row, and no next page.
    let one = it.ann.get("/wsexec/instances?limit=1").await;
    assert!(!one.headers.contains_key("link"));
}

#[tokio::test]
async fn what_is_out_of_sight_is_404_by_every_route_and_told_like_what_never_was() {
    let it = Place::new("operator").await;
    let nothing = 999_999;
    let ask = async |method: Method, path: String, body: Value, version: Option<&str>| {
        let mut request = it.ann.request(method, &path);
        if !body.is_null() {
            request = request.json(&body);
        }
        if let Some(version) = version {
            request = request.header("If-Match", version);
        }
        send(request).await
    };
    let approve = json!({"action": "approve", "fingerprint": format!("SHA256:{}", "A".repeat(43))});
    let mut asked = Vec::new();
    for path in [
        "",
        "/attempts",
        "/stdout",
        "/stderr",
        "/output",
        "/events",
        "/approval",
    ] {
        asked.push((Method::GET, "tasks", path, Value::Null));
    }
    asked.push((Method::GET, "tasks", "?wait=1", Value::Null));
    asked.push((Method::PUT, "tasks", "", json!({"state": "ABORT"})));
    asked.push((Method::PUT, "tasks", "", json!({"name": "x"})));
    asked.push((
        Method::PUT,
        "tasks",
        "/approval",
        json!({"decision": "approve"}),
    ));
    asked.push((Method::DELETE, "tasks", "", Value::Null));
    for path in ["", "/host_key"] {
        asked.push((Method::GET, "instances", path, Value::Null));
    }
    asked.push((Method::PUT, "instances", "", json!({"tag": "x"})));
    asked.push((Method::PUT, "instances", "/host_key", approve));
    asked.push((
        Method::POST,
        "instances",
        "/check",
        json!({"user": "deploy"}),
    ));
    asked.push((Method::DELETE, "instances", "", Value::Null));
    for (method, noun, path, body) in asked {
        let hidden: &[i64] = match noun {
            "tasks" => &it.tasks[1..],
            _ => &[it.hidden],
        };
        for version in [None, Some("\"1\""), Some("\"77\""), Some("*")] {
            let at = |id: i64| format!("/wsexec/{noun}/{id}{path}");
            let never = ask(method.clone(), at(nothing), body.clone(), version).await;
            for id in hidden {
                let reply = ask(method.clone(), at(*id), body.clone(), version).await;
                let what = format!("{method} {} {version:?}: {}", at(*id), reply.text());
                assert_eq!(reply.status, 404, "{what}");
                assert_eq!(reply.json()["detail"], never.json()["detail"], "{what}");
                assert!(!reply.headers.contains_key("etag"), "{what}");
            }
        }
    }
    for (noun, id) in [
        ("tasks", it.tasks[1]),
        ("tasks", it.tasks[2]),
        ("instances", it.hidden),
    ] {
        let body = json!({"id": id, "tag": "x"});
        let reply = it.ann.put(&format!("/wsexec/{noun}"), &body).await;
        assert_eq!(reply.status, 404, "{}", reply.text());
    }
}

#[tokio::test]
async fn what_is_seen_and_not_allowed_is_403_and_a_foreign_instance_is_none_in_a_body() {
    let it = Place::new("operator").await;
    let post = async |user: &str, instance: i64| {
        let new = json!({"name": "n", "script": "true", "user": user, "instance": instance});
        it.ann.post("/wsexec/tasks", &new).await.status
    };
    assert_eq!(post("deploy", it.seen).await, 201);
    assert_eq!(post("root", it.seen).await, 403);
    assert_eq!(post("deploy", it.hidden).await, 404);
    assert_eq!(post("root", it.hidden).await, 404);
    let check = format!("/wsexec/instances/{}/check", it.seen);
    assert_eq!(
        it.ann.post(&check, &json!({"user": "root"})).await.status,
        403
    );
    let new = json!({"ip": "web-2.invalid", "jump": it.hidden});
    assert_eq!(it.ann.post("/wsexec/instances", &new).await.status, 404);
    let path = format!("/wsexec/instances/{}", it.seen);
    assert_eq!(
        it.ann.put(&path, &json!({"jump": it.hidden})).await.status,
        404
    );
    // Nobody moves an instance out of their own sight, or declares one there.
    assert_eq!(
        it.ann
            .put(&path, &json!({"ip": "db-2.invalid"}))
            .await
            .status,
        403
    );
    let new = json!({"ip": "db-2.invalid"});
    assert_eq!(it.ann.post("/wsexec/instances", &new).await.status, 403);
}

#[tokio::test]
async fn who_reaches_machines_through_one_is_not_told_to_whom_they_are_hidden() {
    let it = Place::new("operator").await;
    let through = json!({"jump": it.seen});
    let hidden = format!("/wsexec/instances/{}", it.hidden);
    assert_eq!(it.app.client().put(&hidden, &through).await.status, 200);
    let path = format!("/wsexec/instances/{}", it.seen);
    let reply = it.ann.delete(&path).await;
    assert_eq!(reply.status, 409);
    let said = reply.json()["detail"]
        .as_str()
        .expect("a sentence")
        .to_owned();
    assert_eq!(said, "Other instances are reached through this one.");
}

#[tokio::test]
async fn a_replay_shows_nothing_that_was_put_out_of_sight_since() {
    let it = Place::new("operator").await;
    let new = json!({"name": "n", "script": "true", "user": "deploy", "instance": it.seen});
    let post = async || {
        let request = it.ann.request(Method::POST, "/wsexec/tasks");
        send(request.header("Idempotency-Key", "k").json(&new)).await
    };
    let first = post().await;
    assert_eq!(first.status, 201);
    assert_eq!(post().await.status, 201);
    let id = first.json()["task"]["id"].as_i64().expect("an id");
    it.app.wait_ended(id).await;
    let moved = json!({"ip": "db-3.invalid"});
    let path = format!("/wsexec/instances/{}", it.seen);
    assert_eq!(it.app.client().put(&path, &moved).await.status, 200);
    assert_eq!(post().await.status, 404);
}

#[tokio::test]
async fn a_runner_ends_amends_and_removes_what_is_their_own() {
    let it = Place::new("runner").await;
    let other = format!("/wsexec/tasks/{}", it.tasks[0]);
    assert_eq!(it.ann.get(&other).await.status, 200);
    for body in [json!({"state": "ABORT"}), json!({"name": "x"})] {
        assert_eq!(it.ann.put(&other, &body).await.status, 403, "{body}");
    }
    assert_eq!(it.ann.delete(&other).await.status, 403);
    let new = json!({"name": "n", "script": "true", "user": "deploy", "instance": it.seen});
    let own = it.ann.post("/wsexec/tasks?wait=30", &new).await.json();
    let own = format!("/wsexec/tasks/{}", own["task"]["id"]);
    assert_eq!(it.ann.put(&own, &json!({"name": "x"})).await.status, 200);
    assert_eq!(it.ann.delete(&own).await.status, 200);
    for (method, path) in [
        (Method::POST, "/wsexec/instances".to_owned()),
        (Method::PUT, format!("/wsexec/instances/{}", it.seen)),
    ] {
        let request = it
            .ann
            .request(method, &path)
            .json(&json!({"ip": "web-9.invalid"}));
        assert_eq!(send(request).await.status, 403, "{path}");
    }
}
