//! A machine that does not answer for a while, or ever.

use super::{cancel, is_current, on, post, runs};
use crate::engine;
use crate::harness::app::App;
use crate::harness::cable::Cable;
use crate::harness::sshd::Sshd;
use serde_json::json;

#[tokio::test]
async fn a_detached_run_waits_for_its_machine_to_come_back_and_says_so() {
    let sshd = Sshd::start();
    let mut cable = Cable::to(sshd.address()).await;
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", cable.port()).await;
    let id = post(
        &app,
        instance,
        "for i in $(seq 1 60); do echo $i; sleep 0.05; done",
    )
    .await;
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(5))
        .await;
    cable.cut().await;
    let task = app.wait_until(id, |task| !task["reason"].is_null()).await;
    assert_eq!(task["state"], "CURRENT");
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("The instance does not answer since "),
        "{reason}"
    );
    cable.mend().await;
    let task = app.wait_ended(id).await;
    let all: String = (1..=60).map(|n| format!("{n}\n")).collect();
    assert_eq!((&task["rc"], &task["stdout"]), (&json!(0), &json!(all)));
    assert!(task["reason"].is_null(), "{}", task["reason"]);
}

#[tokio::test]
async fn a_cancel_out_of_reach_is_carried_out_when_the_machine_is_back() {
    let sshd = Sshd::start();
    let mut cable = Cable::to(sshd.address()).await;
    let config = "[engine]\ncancel_grace = 1";
    let app = App::builder()
        .config(config)
        .identity(sshd.identity())
        .start()
        .await;
    let instance = app.declare("127.0.0.1", cable.port()).await;
    let marker = format!("5{}", sshd.port());
    let id = post(&app, instance, &format!("echo one; sleep {marker}")).await;
    app.wait_until(id, |task| task["stdout"] == "one\n").await;
    cable.cut().await;
    app.wait_until(id, |task| !task["reason"].is_null()).await;
    assert_eq!(cancel(&app, id).await.0, 200);
    app.wait_until(id, |task| {
        task["cancel_requested"] == true && is_current(task)
    })
    .await;
    assert!(runs(&format!("sleep\0{marker}")));
    cable.mend().await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("cancelled"), &json!("one\n"))
    );
    assert!(!runs(&format!("sleep\0{marker}")));
}

#[tokio::test]
async fn a_run_out_of_reach_holds_no_place_and_ends_where_its_machine_is_given_up() {
    let (sshd, other) = (Sshd::start(), Sshd::start());
    let mut cable = Cable::to(sshd.address()).await;
    let app = App::builder()
        .config("[engine]\nmax_running = 1")
        .identity(sshd.identity())
        .start()
        .await;
    std::fs::copy(
        sshd.dir().join("authorized_keys"),
        other.dir().join("authorized_keys"),
    )
    .unwrap();
    let instance = app.declare("127.0.0.1", cable.port()).await;
    let elsewhere = app.declare("127.0.0.1", other.port()).await;
    let id = post(&app, instance, "echo one; sleep 5").await;
    app.wait_until(id, |task| task["stdout"] == "one\n").await;
    cable.cut().await;
    let next = engine::post(&app, elsewhere, "echo next").await;
    assert_eq!(app.wait_ended(next).await["stdout"], "next\n");
    assert_eq!(cancel(&app, id).await.0, 200);
    let path = format!("/wsexec/instances/{instance}");
    let off = json!({"state": "DEACTIVATE"});
    assert_eq!(app.client().put(&path, &off).await.status, 200);
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("cancelled"), &json!("one\n"))
    );
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("not confirmed"), "{reason}");
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_no_reason_to_wait_before_anything_was_sent() {
    let sshd = Sshd::start();
    let (app, _) = on(&sshd, App::builder()).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let instance = app.declare("127.0.0.1", nobody.port()).await;
    let id = post(&app, instance, "true").await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "unreachable");
}
