//! What could not begin is tried again where that is asked for; what ran is not.

use super::{on, post};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};

/// A port that refuses connections for as long as the listener that never listens is held.
fn refusing() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

async fn attempts(app: &App, id: i64) -> Vec<Value> {
    let path = format!("/wsexec/tasks/{id}/attempts");
    let reply = app.client().get(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["attempts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_machine_that_is_not_reached_is_tried_again_as_often_as_asked_for() {
    let (_held, port) = refusing();
    let app = App::start().await;
    let instance = app.declare("127.0.0.1", port).await;
    let task = json!({"name": "n", "instance": instance, "user": user(), "script": "true",
        "retries": 2, "retry_delay": 0});
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "unreachable");
    assert_eq!(task["attempt"], 3);
    let attempts = attempts(&app, id).await;
    let seen: Vec<_> = attempts
        .iter()
        .map(|it| (it["attempt"].as_i64(), it["outcome"].as_str()))
        .collect();
    let unreachable = Some("unreachable");
    assert_eq!(seen, [(Some(1), unreachable), (Some(2), unreachable)]);
    assert!(attempts[0]["reason"].as_str().unwrap().contains("refused"));
}

#[tokio::test]
async fn a_task_that_waits_for_its_next_attempt_says_so_outlives_a_restart_and_then_runs() {
    let sshd = Sshd::start();
    let (_held, port) = refusing();
    let mut app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", port).await;
    let task = json!({"name": "n", "instance": instance, "user": user(), "script": "echo here",
        "retries": 1, "retry_delay": 3});
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    let waits = |task: &Value| task["state"] == "INIT" && task["attempt"] == 1;
    let task = app.wait_until(id, waits).await;
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("Attempt 1 of 2 could not begin: ") && reason.contains("refused"),
        "{reason}"
    );
    assert_eq!(task["start"], Value::Null);
    let path = format!("/wsexec/instances/{instance}");
    let put = app.client().put(&path, &json!({"port": sshd.port()})).await;
    assert_eq!(put.status, 200);
    app.kill9().await;
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["stdout"], &task["attempt"]),
        (&json!("here\n"), &json!(2))
    );
    assert_eq!(attempts(&app, id).await.len(), 1);
}

#[tokio::test]
async fn a_task_that_waits_for_its_next_attempt_can_be_cancelled_and_delays_no_other() {
    let sshd = Sshd::start();
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", port).await;
    let task = json!({"name": "n", "instance": instance, "user": user(), "script": "true",
        "retries": 5, "retry_delay": 3600});
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    app.wait_until(id, |task| task["attempt"] == 1 && task["state"] == "INIT")
        .await;
    let path = format!("/wsexec/instances/{instance}");
    let put = app.client().put(&path, &json!({"port": sshd.port()})).await;
    assert_eq!(put.status, 200);
    let other = post(&app, instance, "echo other").await;
    assert_eq!(app.wait_ended(other).await["stdout"], "other\n");
    let (status, task) = super::cancel(&app, id).await;
    assert_eq!(
        (status, &task["task"]["outcome"]),
        (200, &json!("cancelled"))
    );
}

#[tokio::test]
async fn a_script_that_ran_is_never_tried_again() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    for (user, outcome) in [
        (user(), "exited"),
        ("nobody-of-that-name".into(), "auth_failed"),
    ] {
        let task = json!({"name": "n", "instance": instance, "user": user, "script": "exit 1",
            "retries": 3, "retry_delay": 0});
        let id = app.post_task(task).await["id"].as_i64().unwrap();
        let task = app.wait_ended(id).await;
        assert_eq!(
            (&task["outcome"], &task["attempt"]),
            (&json!(outcome), &json!(1))
        );
        assert!(attempts(&app, id).await.is_empty());
    }
}

#[tokio::test]
async fn a_script_that_is_silent_for_too_long_is_ended() {
    let sshd = Sshd::start();
    let config = "[engine]\nsilence_timeout = 1\ncancel_grace = 1";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let talks = post(
        &app,
        instance,
        "for i in 1 2 3 4; do echo $i; sleep 0.5; done",
    )
    .await;
    let silent = post(&app, instance, "echo begun; sleep 60").await;
    assert_eq!(app.wait_ended(talks).await["outcome"], "exited");
    let task = app.wait_ended(silent).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("timed_out"), &json!("begun\n"))
    );
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("wrote nothing for 1 s"), "{reason}");
}
