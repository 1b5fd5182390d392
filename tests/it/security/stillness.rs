//! Clients that stand still.

use super::wire::{connect, connect_with, read, until_closed};
use crate::harness::app::App;
use tokio::io::AsyncWriteExt as _;

async fn impatient() -> App {
    App::builder()
        .config("[http]\nhead_timeout = 1\nbody_timeout = 1\nwrite_timeout = 1")
        .start()
        .await
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408_and_the_connection_is_closed() {
    let app = impatient().await;
    let mut stream = connect(&app).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        .await
        .unwrap();
    read(&mut stream).await.is_problem(408, "a slow head");
    assert_eq!(until_closed(&mut stream).await, b"");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off_as_well() {
    let app = impatient().await;
    let (mut reading, mut writing) = tokio::io::split(connect(&app).await);
    let dripping = async {
        // Ends when the server has closed.
        while writing.write_all(b"G").await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let closed = async { until_closed(&mut reading).await };
    tokio::select! {
        bytes = closed => assert!(bytes.starts_with(b"HTTP/1.1 4"), "{bytes:?}"),
        () = dripping => {}
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let app = impatient().await;
    assert_eq!(until_closed(&mut connect(&app).await).await, b"");
    let mut h2 = connect_with(&app, &[&rustls::version::TLS13], b"h2").await;
    until_closed(&mut h2).await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_408() {
    let app = impatient().await;
    let login = basic(&app);
    let mut stream = connect(&app).await;
    let head = format!(
        "POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read(&mut stream).await.is_problem(408, "a slow body");
}

#[tokio::test]
async fn a_body_that_nobody_waits_for_does_not_hold_up_the_answer_for_long() {
    let app = impatient().await;
    let mut stream = connect(&app).await;
    stream
        .write_all(
            b"POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        )
        .await
        .unwrap();
    read(&mut stream).await.is_problem(401, "a slow body");
}

fn basic(app: &App) -> String {
    use base64::Engine as _;
    let login = format!("admin:{}", app.admin_password());
    let login = base64::engine::general_purpose::STANDARD.encode(login);
    format!("Basic {login}")
}
