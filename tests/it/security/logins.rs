use crate::harness::app::App;
use crate::harness::client::send;
use reqwest::Method;

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
    assert!(!line.contains(&"x".repeat(65)), "{line}");
    assert!(!log.contains("hunter2"), "{log}");
}
