use crate::harness::app::App;
use crate::harness::client::send;
use crate::harness::people::{Person, log_in_from, viewer};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_authorization_header_that_is_no_http_basic_is_401() {
    let app = App::start().await;
    for header in [
        "Basic",
        "Basic %%%",
        "Basic bm9jb2xvbg==",
        "Basic YWRtaW46AAo=",
        "Basic //46Og==",
        "Bearer abc",
        "Digest username=\"admin\"",
    ] {
        let request = app.anonymous().request(Method::GET, "/wsexec/tasks");
        let reply = send(request.header("Authorization", header)).await;
        assert_eq!(reply.status, 401, "{header}: {}", reply.text());
        assert!(reply.header("www-authenticate").starts_with("Basic "));
    }
}

#[tokio::test]
async fn a_login_is_checked_before_anything_else_is_looked_at() {
    let app = App::start().await;
    for (method, path) in [
        (Method::GET, "/wsexec"),
        (Method::GET, "/wsexec/nowhere"),
        (Method::PATCH, "/wsexec/tasks"),
        (Method::GET, "/wsexec/tasks/abc"),
        (Method::POST, "/wsexec/tasks"),
    ] {
        let request = app.anonymous().request(method, path).body("{nonsense");
        assert_eq!(send(request).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn http_basic_never_logs_into_a_page() {
    let app = App::start().await;
    let reply = app.client().get("/tasks").await;
    assert_ne!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_failed_login_is_in_the_log_without_its_password() {
    let app = App::start().await;
    let name = "x".repeat(500);
    let reply = app
        .as_user(&name, "hunter2-guess")
        .get("/wsexec/tasks")
        .await;
    assert_eq!(reply.status, 401);
    let id = reply.header("x-request-id").to_owned();
    // The line comes through a pipe, perhaps after the answer.
    let is_told = |log: &str| {
        let mut lines = log.lines();
        lines.find_map(|l| (l.contains(&id) && l.contains("login failed")).then(|| l.to_owned()))
    };
    app.wait_stderr(&id).await;
    let log = app.stderr();
    let line = is_told(&log).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("127.0.0.1"), "{line}");
    assert!(!line.contains("xxx"), "{line}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_stranger_who_guesses_slows_down_neither_the_named_nor_others() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    // From home she has logged in before; a server that has no cache asks for her password again.
    let home = |password: &str| {
        let client = app.as_user("ann", password);
        client.from([127, 0, 0, 9].into())
    };
    assert_eq!(home(&ann.password).get("/wsexec/tasks").await.status, 200);
    let mut statuses = Vec::new();
    for guess in 0..140_u8 {
        let stranger = app.as_user("ann", &format!("guess number {guess}"));
        let stranger = stranger.from([127, 0, 1, guess / 10].into());
        statuses.push(stranger.get("/wsexec/tasks").await.status);
    }
    assert!(statuses[..100].iter().all(|it| *it == 401), "{statuses:?}");
    assert!(statuses[100..].contains(&429), "{statuses:?}");
    for guess in 0..5 {
        let mistyped = home(&format!("mistyped {guess}"))
            .get("/wsexec/tasks")
            .await;
        assert_eq!(mistyped.status, 401, "{guess}");
    }
    let reply = log_in_from(&app, [127, 0, 0, 9], ("ann", &ann.password)).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(home(&ann.password).get("/wsexec/tasks").await.status, 200);
    // From a new place too: the first tries are hers.
    let abroad = ann.client(&app).from([127, 0, 2, 1].into());
    assert_eq!(abroad.get("/wsexec/tasks").await.status, 200);
}

#[tokio::test]
async fn unknown_disabled_and_known_users_get_the_same_answer() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let bob = Person::add(&app, "bob", viewer()).await;
    bob.change(&app, json!({"disabled": true})).await;
    let mut bodies = Vec::new();
    let mut times = Vec::new();
    for name in ["ann", "bob", "nobody"] {
        let mut fastest = Duration::MAX;
        for guess in 0..10 {
            let client = app.anonymous();
            let client = client.with_login(name, &format!("guess number {guess}"));
            assert_eq!(client.get("/healthz").await.status, 200, "connected");
            let began = Instant::now();
            let reply = client.get("/wsexec/tasks").await;
            fastest = fastest.min(began.elapsed());
            assert_eq!(reply.status, 401);
            let mut body = reply.json();
            body["request_id"] = Value::Null;
            bodies.push((body, reply.header("content-length").to_owned()));
        }
        times.push(fastest);
    }
    assert!(bodies.iter().all(|it| *it == bodies[0]), "{bodies:#?}");
    // Who does not exist costs a hash as well: without it, this is some ten times as fast.
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*most < *least * 3, "{times:?}");
    let right = bob.client(&app).get("/wsexec/tasks").await;
    assert_eq!(
        (
            right.status,
            ann.client(&app).get("/wsexec/tasks").await.status
        ),
        (401, 200)
    );
}
