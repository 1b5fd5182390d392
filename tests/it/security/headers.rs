//! What every answer tells a browser, whatever made it.

use super::wire::exchange;
use crate::harness::app::App;
use crate::harness::client::send;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

/// What is wrong with the headers of an answer.
fn wrong(get: impl Fn(&str) -> String, is_static: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        if get(name) != value {
            wrong.push(format!("{name} is {:?}", get(name)));
        }
    }
    let policy = get("content-security-policy");
    let good = policy.contains("default-src 'none'")
        && policy.contains("frame-ancestors 'none'")
        && !policy.contains("unsafe")
        && !policy.contains('*');
    if !good {
        wrong.push(format!("the policy is {policy:?}"));
    }
    let kept = get("cache-control");
    if is_static != kept.contains("immutable") || (!is_static && kept != "no-store") {
        wrong.push(format!("cache-control is {kept:?}"));
    }
    wrong
}

fn of(headers: &HeaderMap) -> impl Fn(&str) -> String {
    |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn every_route_and_every_error_has_the_security_headers() {
    let app = App::start().await;
    let document = app.anonymous().get("/openapi.json").await.json();
    let mut paths: Vec<String> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(|path| path.replace("{id}", "1"))
        .collect();
    let pages = [
        "/",
        "/login",
        "/logout",
        "/tasks",
        "/tasks/new",
        "/tasks/1",
        "/tasks/1/cancel",
        "/instances",
        "/instances/new",
        "/instances/1",
        "/instances/1/edit",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/nowhere",
        "/static/none.css",
        "/tasks/x",
        "/wsexec/tasks/x",
        "/wsexec",
    ];
    paths.extend(pages.map(str::to_owned));
    let mut faults = Vec::new();
    let mut statuses = std::collections::BTreeSet::new();
    let bodies = [
        ("application/json", "{}".to_owned()),
        ("application/json", "{".to_owned()),
        ("text/plain", "x".to_owned()),
        ("application/json", "x".repeat(2 * 1024 * 1024)),
    ];
    for path in &paths {
        for client in [app.anonymous(), app.client()] {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                let method: Method = method.parse().expect("a method");
                let bodies = match method {
                    Method::POST | Method::PUT => &bodies[..],
                    _ => &bodies[..1],
                };
                for (media, body) in bodies {
                    let mut request = client.request(method.clone(), path);
                    if matches!(method, Method::POST | Method::PUT) {
                        request = request.header("content-type", *media).body(body.clone());
                    }
                    let reply = send(request).await;
                    statuses.insert(reply.status);
                    for fault in wrong(of(&reply.headers), false) {
                        faults.push(format!("{method} {path} {}: {fault}", reply.status));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    for status in [200, 400, 401, 403, 404, 405, 413, 415] {
        assert!(statuses.contains(&status), "{status} of {statuses:?}");
    }
}

#[tokio::test]
async fn static_files_and_answers_before_there_is_a_request_have_them_too() {
    let app = App::start().await;
    let login = app.anonymous().get("/login").await.text();
    let files: Vec<&str> = login
        .split('"')
        .filter(|part| part.starts_with("/static/"))
        .collect();
    assert!(files.len() >= 3, "{login}");
    for file in files {
        let reply = app.anonymous().get(file).await;
        assert_eq!(reply.status, 200);
        assert_eq!(wrong(of(&reply.headers), true), [""; 0], "{file}");
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    for head in ["GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", long.as_str()] {
        let answer = exchange(&app, head.as_bytes()).await;
        let get = |name: &str| {
            let line = answer
                .head
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(wrong(get, false), [""; 0], "{}", &head[..10]);
    }
    let id = app.declare("h.invalid", 1).await;
    let path = format!("/wsexec/instances/{id}");
    let stale = app
        .client()
        .request(Method::PUT, &path)
        .header("If-Match", "\"9\"");
    let reply = send(stale.json(&json!({"tag": "x"}))).await;
    assert_eq!(
        (reply.status, wrong(of(&reply.headers), false).len()),
        (412, 0)
    );
    let redirected = app
        .anonymous()
        .request(Method::GET, "/tasks")
        .header("Accept", "text/html");
    let reply = send(redirected).await;
    assert_eq!(reply.status, 303);
    assert_eq!(wrong(of(&reply.headers), false), [""; 0]);
}
