//! The error table.

use super::super::harness::app::App;
use super::super::harness::client::send;
use super::{assert_problem, send_body};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn without_a_good_login_every_route_is_401_with_a_challenge() {
    let app = App::start().await;
    let wrong = app.as_user("admin", "wrong");
    for client in [app.anonymous(), wrong] {
        for (method, path) in [
            (Method::GET, "/wsexec/tasks"),
            (Method::POST, "/wsexec/tasks"),
            (Method::PUT, "/wsexec/tasks"),
            (Method::GET, "/wsexec/tasks/1"),
            (Method::PUT, "/wsexec/tasks/1"),
            (Method::DELETE, "/wsexec/tasks/1"),
            (Method::GET, "/wsexec/tasks/1/stdout"),
            (Method::GET, "/wsexec/tasks/1/stderr"),
            (Method::GET, "/wsexec/tasks/1/output"),
            (Method::GET, "/wsexec/tasks/1/events"),
            (Method::GET, "/wsexec/instances"),
            (Method::DELETE, "/wsexec/instances/1"),
        ] {
            let reply = send(client.request(method.clone(), path)).await;
            // Somebody who guesses is slowed down before long.
            if reply.status == 429 {
                assert!(!reply.header("retry-after").is_empty());
                continue;
            }
            assert_problem(&reply, 401, &[]);
            let challenge = reply.header("www-authenticate");
            assert!(challenge.starts_with("Basic "), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_bad_id_is_400_and_an_unknown_one_404() {
    let app = App::start().await;
    let client = app.client();
    for noun in ["tasks", "instances"] {
        for id in [
            "0",
            "-1",
            "abc",
            "1.5",
            "%00",
            "99999999999999999999",
            "9223372036854775808",
        ] {
            let path = format!("/wsexec/{noun}/{id}");
            assert_problem(&client.get(&path).await, 400, &["id"]);
            assert_problem(&client.delete(&path).await, 400, &["id"]);
            assert_problem(&client.put(&path, &json!({})).await, 400, &["id"]);
        }
        for id in ["1", "9223372036854775807"] {
            let path = format!("/wsexec/{noun}/{id}");
            assert_problem(&client.get(&path).await, 404, &[]);
            assert_problem(&client.delete(&path).await, 404, &[]);
            assert_problem(&client.put(&path, &json!({})).await, 404, &[]);
        }
    }
    for view in ["stdout", "stderr", "output", "events"] {
        let at = |id: &str| format!("/wsexec/tasks/{id}/{view}");
        assert_problem(&client.get(&at("abc")).await, 400, &["id"]);
        assert_problem(&client.get(&at("1")).await, 404, &[]);
    }
    let unknown = json!({"name": "n", "instance": 7, "script": "true", "user": "root"});
    assert_problem(&client.post("/wsexec/tasks", &unknown).await, 404, &[]);
    assert_problem(&client.get("/wsexec/nothing").await, 404, &[]);
}

#[tokio::test]
async fn a_body_that_is_not_one_json_object_is_400_or_415() {
    let app = App::start().await;
    let client = app.client();
    let deep = format!("{{\"name\":{}", "[".repeat(100_000));
    for path in ["/wsexec/tasks", "/wsexec/instances"] {
        for method in [Method::POST, Method::PUT] {
            for body in [
                "",
                "{",
                "[]",
                "null",
                "\"x\"",
                "{\"a\":1}{",
                "{'a':1}",
                &deep,
            ] {
                let reply = send_body(&client, method.clone(), path, body).await;
                assert_problem(&reply, 400, &[]);
            }
            let lone = r#"{"tag":"\ud800"}"#;
            let reply = send_body(&client, method.clone(), path, lone).await;
            assert_problem(&reply, 400, &[]);
            let reply = send_body(&client, method.clone(), path, b"{\"tag\":\"\xff\"}").await;
            assert_problem(&reply, 400, &[]);

            let bare = client.request(method.clone(), path).body("{}");
            assert_problem(&send(bare).await, 415, &[]);
            for kind in ["text/plain", "application/xml", "application/json5"] {
                let request = client.request(method.clone(), path);
                let request = request.header("Content-Type", kind).body("{}");
                assert_problem(&send(request).await, 415, &[]);
            }
        }
    }
    let request = client.request(Method::POST, "/wsexec/instances");
    let request = request.header("Content-Type", "Application/JSON; charset=utf-8");
    let reply = send(request.body(r#"{"ip":"127.0.0.1"}"#)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn every_wrong_member_of_a_body_is_named_at_once() {
    let app = App::start().await;
    let client = app.client();
    let post = async |path, body: &str| send_body(&client, Method::POST, path, body).await;

    let reply = post("/wsexec/tasks", "{}").await;
    assert_problem(&reply, 400, &["name", "instance", "script", "user"]);
    let wrong = r#"{"name":1,"tag":null,"instance":"x","script":"","user":"-oProxyCommand=x",
        "timeout":0,"colour":"red"}"#;
    let fields = [
        "name", "tag", "instance", "script", "user", "timeout", "colour",
    ];
    assert_problem(&post("/wsexec/tasks", wrong).await, 400, &fields);
    let twice = r#"{"name":"a","name":"b","instance":1,"script":"true","user":"root"}"#;
    assert_problem(&post("/wsexec/tasks", twice).await, 400, &["name"]);

    let reply = post("/wsexec/instances", "{}").await;
    assert_problem(&reply, 400, &["ip"]);
    let wrong = r#"{"ip":"a b","tag":5,"state":"OFF","port":0,"id":3}"#;
    let fields = ["ip", "tag", "state", "port", "id"];
    assert_problem(&post("/wsexec/instances", wrong).await, 400, &fields);
    for port in ["65536", "\"22\"", "2.5", "99999999999999999999", "-1"] {
        let body = format!(r#"{{"ip":"127.0.0.1","port":{port}}}"#);
        assert_problem(&post("/wsexec/instances", &body).await, 400, &["port"]);
    }
    for user in ["", "-oProxyCommand=x", "a\\nb", "a b", "a;b", "é"] {
        let body = format!(r#"{{"name":"n","instance":1,"script":"true","user":"{user}"}}"#);
        assert_problem(&post("/wsexec/tasks", &body).await, 400, &["user"]);
    }
    for instance in [
        "0",
        "-1",
        "1.5",
        "\"abc\"",
        "\"\"",
        "null",
        "99999999999999999999",
    ] {
        let body = format!(r#"{{"name":"n","instance":{instance},"script":"true","user":"root"}}"#);
        assert_problem(&post("/wsexec/tasks", &body).await, 400, &["instance"]);
    }
}

#[tokio::test]
async fn a_query_value_that_cannot_be_read_is_400_and_named() {
    let app = App::start().await;
    let client = app.client();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("after=-1", "after"),
        ("before=99999999999999999999", "before"),
        ("order=up", "order"),
        ("state=DONNE", "state"),
        ("instance=abc", "instance"),
        ("output=some", "output"),
        (&format!("q={}", "_".repeat(257)), "q"),
        ("q=%00", "q"),
    ] {
        let reply = client.get(&format!("/wsexec/tasks?{query}")).await;
        assert_problem(&reply, 400, &[field]);
    }
    for (query, field) in [("limit=0", "limit"), ("state=DONE", "state")] {
        let reply = client.get(&format!("/wsexec/instances?{query}")).await;
        assert_problem(&reply, 400, &[field]);
    }
    for wait in ["-1", "61", "x", "1.5"] {
        let reply = client.get(&format!("/wsexec/tasks/1?wait={wait}")).await;
        assert_problem(&reply, 400, &["wait"]);
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_and_told_the_others() {
    let app = App::start().await;
    let client = app.client();
    for (path, allow) in [
        ("/wsexec/tasks", "GET, HEAD, POST, PUT"),
        ("/wsexec/tasks/1", "DELETE, GET, HEAD, PUT"),
        ("/wsexec/tasks/1/stdout", "GET, HEAD"),
        ("/wsexec/tasks/1/events", "GET, HEAD"),
        ("/wsexec/instances", "GET, HEAD, POST, PUT"),
        ("/wsexec/instances/1", "DELETE, GET, HEAD, PUT"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ] {
        let reply = send(client.request(Method::PATCH, path)).await;
        assert_problem(&reply, 405, &[]);
        let mut allowed: Vec<_> = reply.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(", "), allow, "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let app = App::start().await;
    let client = app.client();
    let big = format!(r#"{{"ip":"127.0.0.1","tag":"{}"}}"#, "x".repeat(2 << 20));
    for path in ["/wsexec/instances", "/wsexec/tasks"] {
        let reply = send_body(&client, Method::POST, path, big.clone()).await;
        assert_problem(&reply, 413, &[]);
    }
}
