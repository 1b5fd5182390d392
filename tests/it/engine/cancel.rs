use super::{cancel, is_current, on, post, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use serde_json::json;

#[tokio::test]
async fn a_waiting_task_is_cancelled_then_and_there() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 1\ncancel_grace = 1"),
    )
    .await;
    let running = post(&app, instance, "sleep 600").await;
    app.wait_until(running, is_current).await;
    let waiting = post(&app, instance, "true").await;
    let (status, answer) = cancel(&app, waiting).await;
    assert_eq!(status, 200);
    let task = &answer["task"];
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert!(task["start"].is_null() && task["end"].is_i64());
    cancel(&app, running).await;
    app.wait_ended(running).await;
}

#[tokio::test]
async fn a_cancel_leaves_nothing_of_the_script_and_keeps_its_output() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let begun = sshd.dir().join("begun");
    // A child, one in a group of its own, and one that does not mind TERM.
    let marker = format!("7{}", sshd.port());
    let script = format!(
        "echo before; sleep {marker} & timeout {marker} sleep {marker} & (trap '' TERM; sleep {marker}; sleep {marker}) & \
         touch {}; wait",
        begun.display()
    );
    let id = post(&app, instance, &script).await;
    wait_for_file(&begun).await;
    assert!(runs(&format!("sleep\0{marker}")));
    let (status, answer) = cancel(&app, id).await;
    assert_eq!(
        (status, &answer["task"]["cancel_requested"]),
        (200, &json!(true))
    );
    assert_eq!(cancel(&app, id).await.0, 200, "asking again is fine");
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert_eq!(task["stdout"], "before\n");
    assert!(task["rc"].is_null());
    assert!(!runs(&format!("sleep\0{marker}")), "{}", task["reason"]);
    assert_eq!(
        task["reason"],
        "Cancelled on request. Nothing of its session is left on the instance."
    );
}

#[tokio::test]
async fn what_is_done_cannot_be_cancelled() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let id = app.run(instance, &user(), "true").await["id"]
        .as_i64()
        .unwrap();
    assert_eq!(cancel(&app, id).await.0, 409);
}

#[tokio::test]
async fn a_deadline_ends_a_run_as_timed_out() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let marker = format!("8{}", sshd.port());
    let task = json!({
        "name": "slow", "instance": instance, "user": user(), "script": format!("sleep {marker}"), "timeout": 1,
    });
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "timed_out");
    assert!(
        task["reason"]
            .as_str()
            .unwrap()
            .starts_with("Its deadline of 1 s has passed.")
    );
    assert!(!runs(&format!("sleep\0{marker}")));
}

#[tokio::test]
async fn what_a_cancelled_script_says_last_is_kept() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let begun = sshd.dir().join("begun");
    let script = format!(
        "trap 'seq 1 20000; exit' TERM; touch {}; while :; do sleep 0.05; done",
        begun.display()
    );
    let id = post(&app, instance, &script).await;
    wait_for_file(&begun).await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    let all: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(task["outcome"], "cancelled");
    assert_eq!(task["stdout"].as_str().unwrap().len(), all.len());
    assert_eq!(task["stdout"], all);
}

#[tokio::test]
async fn a_cancel_after_the_scripts_own_end_keeps_its_exit_code() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let marker = format!("6{}", sshd.port());
    // What is left behind holds stdout, so that the end of the output does not come.
    let script = format!("(while :; do echo left; sleep 0.2; done; : {marker}) & exit 4");
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(4))
        .await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!((&task["state"], &task["rc"]), (&json!("DONE"), &json!(4)));
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("The script had exited by itself."),
        "{reason}"
    );
    // Its next word finds nobody.
    wait_for(|| !runs(&marker), "the end of what it left behind").await;
}
