use super::wire::exchange;
use crate::harness::app::App;
use crate::harness::client::send;
use reqwest::Method;
use std::process::Command;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_large_it_is() {
    let app = App::start().await;
    for size in [MIB + 1, 3 * MIB, 10 * MIB] {
        let request = app.client().request(Method::POST, "/wsexec/tasks");
        let request = request
            .header("Content-Type", "application/json")
            .body(vec![b' '; size]);
        let reply = send(request).await;
        assert_eq!(reply.status, 413, "{size}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

/// Debian's curl loses an HTTP/2 answer that comes before its body was read.
#[tokio::test]
async fn curl_sees_the_answer_to_a_body_that_nobody_reads() {
    let app = App::start().await;
    let file = app.path("body");
    for (size, path, status) in [
        (200_000, "/wsexec/tasks", "401"),
        (10 * MIB, "/wsexec/tasks", "401"),
        // Whom a form comes from is asked before where it goes.
        (200_000, "/nowhere", "403"),
    ] {
        std::fs::write(&file, vec![b'x'; size]).unwrap();
        for version in ["--http1.1", "--http2"] {
            let output = Command::new("curl")
                .args([
                    "--silent",
                    "--noproxy",
                    "*",
                    version,
                    "--output",
                    "/dev/null",
                ])
                .args(["--write-out", "%{http_code}", "--cacert"])
                .arg(app.certificate())
                .arg("--data-binary")
                .arg(format!("@{}", file.display()))
                .arg(format!("{}{path}", app.url()))
                .output()
                .expect("curl");
            let code = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                (output.status.code(), code.as_str()),
                (Some(0), status),
                "{version} {size} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_gets_its_answer_at_once() {
    let app = App::start().await;
    let head = b"POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
        Content-Length: 1000\r\n\r\n";
    // Nothing of the body is ever sent: the answer must not wait for it.
    exchange(&app, head).await.is_problem(401, "Expect");
}

#[tokio::test]
async fn a_broken_chunk_is_400() {
    let app = App::start().await;
    let login = reqwest_basic(&app);
    let request = format!(
        "POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"
    );
    exchange(&app, request.as_bytes())
        .await
        .is_problem(400, "a broken chunk");
}

fn reqwest_basic(app: &App) -> String {
    let request = app.client().request(Method::GET, "/").build().unwrap();
    let header = &request.headers()["authorization"];
    header.to_str().unwrap().to_owned()
}
