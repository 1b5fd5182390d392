//! The end of a run before its script's own.

use super::{cancel, directories, on, post, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use serde_json::json;

#[tokio::test]
async fn a_cancel_of_a_detached_run_is_confirmed_and_keeps_its_last_words() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 2")).await;
    let begun = sshd.dir().join("begun");
    let marker = format!("7{}", sshd.port());
    let script = format!(
        "trap 'seq 1 20000; exit' TERM; sleep {marker} & timeout {marker} sleep {marker} & \
         (trap '' TERM; sleep {marker}; sleep {marker}) & touch {}; while :; do sleep 0.05; done",
        begun.display()
    );
    let id = post(&app, instance, &script).await;
    wait_for_file(&begun).await;
    wait_for(|| runs(&format!("sleep\0{marker}")), "the script").await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    let all: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert_eq!(task["stdout"].as_str().unwrap().len(), all.len());
    assert_eq!(task["stdout"], all);
    assert!(!runs(&format!("sleep\0{marker}")), "{}", task["reason"]);
    assert_eq!(
        task["reason"],
        "Cancelled on request. Nothing of its session is left on the instance."
    );
    wait_for(|| directories(&sshd).is_empty(), "an empty directory").await;
}

#[tokio::test]
async fn a_script_that_spoils_its_own_records_can_be_cancelled() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let marker = format!("9{}", sshd.port());
    let script = format!("cd ~/.local/state/wsexec/*/run; echo x > cap; echo on; sleep {marker}");
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout"] == "on\n").await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled");
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("does not answer as it should"), "{reason}");
    assert!(!runs(&format!("sleep\0{marker}")), "{reason}");
}

#[tokio::test]
async fn a_detached_run_that_writes_nothing_for_too_long_is_ended() {
    let sshd = Sshd::start();
    let config = "[engine]\nsilence_timeout = 2\ncancel_grace = 1\noutput_limit = 8192";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let marker = format!("31{}", sshd.port());
    let id = post(&app, instance, &format!("echo one; sleep {marker}")).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("timed_out"), &json!("one\n")),
        "{task:#}"
    );
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.starts_with("It wrote nothing for 2 s"), "{reason}");
    // Behind a full head nothing is seen, so that nothing is silence.
    let id = post(&app, instance, "seq 1 10000; sleep 4; exit 3").await;
    assert_eq!(app.wait_ended(id).await["rc"], 3);
}
