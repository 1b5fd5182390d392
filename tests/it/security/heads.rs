use super::wire::exchange;
use crate::harness::app::App;

#[tokio::test]
async fn malformed_http_is_400_and_never_a_fault_of_the_server() {
    let app = App::start().await;
    let host = "Host: localhost\r\n";
    for head in [
        "GARBAGE\r\n\r\n".to_owned(),
        format!("GET  / HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/2.0\r\n{host}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
        "GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}X : a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"),
        format!("CONNECT localhost:80 HTTP/1.1\r\n{host}\r\n"),
        format!("POST /login HTTP/1.1\r\n{host}Content-Length: -3\r\n\r\nabc"),
        format!("POST /login HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        format!("POST /login HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ] {
        exchange(&app, head.as_bytes()).await.is_problem(400, &head);
    }
    assert!(!app.stderr().contains("panic"), "{}", app.stderr());
}

#[tokio::test]
async fn a_body_with_two_framings_ends_the_connection() {
    let app = App::start().await;
    let smuggled = b"POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = super::wire::connect(&app).await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, smuggled)
        .await
        .unwrap();
    let all = super::wire::until_closed(&mut stream).await;
    let all = String::from_utf8_lossy(&all);
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    assert!(all.starts_with("HTTP/1.1 401 "), "{all}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let app = App::start().await;
    let long = "a".repeat(100_000);
    let many = "X: a\r\n".repeat(200);
    for head in [
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        exchange(&app, head.as_bytes())
            .await
            .is_problem(431, &head[..60]);
    }
}

#[tokio::test]
async fn a_refusal_behind_an_answer_on_the_same_connection_is_a_problem_too() {
    let app = App::start().await;
    let mut stream = super::wire::connect(&app).await;
    for (send, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GARBAGE\r\n\r\n", 400),
    ] {
        tokio::io::AsyncWriteExt::write_all(&mut stream, send.as_bytes())
            .await
            .unwrap();
        let answer = super::wire::read(&mut stream).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.head.contains("x-request-id: "), "{answer:?}");
    }
}

#[tokio::test]
async fn a_forged_host_is_never_in_an_answer() {
    let app = App::start().await;
    let head = "GET /wsexec/tasks HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let answer = exchange(&app, head.as_bytes()).await;
    answer.is_problem(401, "a forged host");
    assert!(!answer.head.contains("evil"), "{answer:?}");

    let client = app.client();
    let created = client.request(reqwest::Method::POST, "/wsexec/instances");
    let created = created
        .header("Host", "evil.example")
        .json(&serde_json::json!({"ip": "127.0.0.1"}));
    let created = crate::harness::client::send(created).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let uri = created.json()["instance"]["uri"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(uri.starts_with(&app.url()), "{uri}");
}
