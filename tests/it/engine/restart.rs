use super::{cancel, is_current, kill, located, on, post, reason, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, throwaway_user};
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test]
async fn after_a_crash_what_ran_is_lost_with_its_output_and_what_waited_runs_once() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 1"),
    )
    .await;
    let (gate, log) = (sshd.dir().join("gate"), sshd.dir().join("lines"));
    let script = format!(
        "echo one >> {}; echo so far; until test -e {}; do sleep 0.05; done",
        log.display(),
        gate.display()
    );
    let running = post(&app, instance, &script).await;
    app.wait_until(running, |task| task["stdout"] == "so far\n")
        .await;
    let waiting = post(&app, instance, &format!("echo two >> {}", log.display())).await;
    app.kill9().await;
    app.restart().await;
    let lost = app.wait_ended(running).await;
    assert_eq!(
        (&lost["state"], &lost["outcome"]),
        (&json!("ABORT"), &json!("lost"))
    );
    assert_eq!(lost["stdout"], "so far\n");
    assert!(
        lost["reason"]
            .as_str()
            .unwrap()
            .contains("not started again by itself")
    );
    assert!(lost["end"].as_i64() >= lost["start"].as_i64());
    assert_eq!(app.wait_ended(waiting).await["state"], "DONE");
    std::fs::write(gate, "").unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn a_stop_lets_running_tasks_end_by_themselves_within_the_grace_time() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let (begun, gate) = (sshd.dir().join("begun"), sshd.dir().join("gate"));
    let script = format!(
        "touch {}; until test -e {}; do sleep 0.05; done; echo end",
        begun.display(),
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    wait_for_file(&begun).await;
    app.signal(Signal::TERM);
    let client = app.client();
    wait_for_refusal(&client, instance).await;
    std::fs::write(gate, "").unwrap();
    assert!(app.wait_exit().await.success());
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("exited"), &json!("end\n"))
    );
}

#[tokio::test]
async fn a_stop_ends_what_outlasts_the_grace_time_as_interrupted() {
    let sshd = Sshd::start();
    let config = "[engine]\nstop_grace = 1\ncancel_grace = 1\nmax_per_instance = 1";
    let (mut app, instance) = on(&sshd, App::builder().config(config)).await;
    let marker = format!("9{}", sshd.port());
    let running = post(&app, instance, &format!("sleep {marker}")).await;
    app.wait_until(running, is_current).await;
    wait_for(|| runs(&format!("sleep\0{marker}")), "the script").await;
    let waiting = post(&app, instance, "echo after").await;
    assert!(app.stop().await.success());
    assert!(!runs(&format!("sleep\0{marker}")));
    app.restart().await;
    let task = app.wait_ended(running).await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("interrupted"))
    );
    assert_eq!(app.wait_ended(waiting).await["stdout"], "after\n");
}

#[tokio::test]
async fn a_stop_answers_whoever_waits_at_once() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nstop_grace = 20\ncancel_grace = 1"),
    )
    .await;
    let id = post(&app, instance, "sleep 600").await;
    app.wait_until(id, is_current).await;
    let client = app.client();
    let waiting =
        tokio::spawn(async move { client.get(&format!("/wsexec/tasks/{id}?wait=60")).await });
    // The request is there once it shows in the log or is answered by the stop: either is fine.
    app.signal(Signal::TERM);
    let reply = waiting.await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["task"]["state"]),
        (200, &json!("CURRENT"))
    );
    assert_eq!(cancel(&app, id).await.0, 200);
    assert!(app.wait_exit().await.success());
}

/// The reason of a run that outlived its server begins so.
const STOPPED: &str =
    "The server stopped without recording the end of this run; it is not started again by itself. ";

/// Runs a script until it was located, and crashes the server; what is to be the task's end then.
async fn crashed(config: &str, script: &str, meanwhile: impl Fn(u32)) -> (Sshd, App, Value) {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder().config(config)).await;
    let id = post(&app, instance, script).await;
    let pid = located(&app, id).await;
    app.kill9().await;
    meanwhile(pid);
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "lost");
    (sshd, app, task)
}

#[tokio::test]
async fn after_a_crash_a_script_that_goes_on_is_left_alone_and_named() {
    let (_sshd, app, task) = crashed("", "exec sleep 87201", |_| {}).await;
    assert!(runs("sleep\x0087201"));
    let pid = located(&app, task["id"].as_i64().unwrap()).await;
    assert_eq!(
        reason(&task),
        format!("{STOPPED}It still runs there and was left alone (engine.orphans): {pid} (sleep).")
    );
    kill(pid);
}

#[tokio::test]
async fn after_a_crash_a_script_that_goes_on_is_ended_where_that_is_configured() {
    let config = "[engine]\norphans = \"end\"\ncancel_grace = 1";
    let script = "trap '' TERM; sleep 87202 | sleep 87202";
    let (_sshd, _app, task) = crashed(config, script, |_| {}).await;
    assert!(!runs("sleep\x0087202"));
    assert_eq!(
        reason(&task),
        format!(
            "{STOPPED}It still ran there and was told to end (engine.orphans). \
             Nothing of its session is left on the instance."
        )
    );
}

#[tokio::test]
async fn after_a_crash_a_script_that_has_ended_is_known_to_have() {
    let (_sshd, _app, task) = crashed("", "exec sleep 87203", kill).await;
    assert_eq!(
        reason(&task),
        format!("{STOPPED}Nothing of it runs there any more; its exit code is not known.")
    );
}

#[tokio::test]
async fn after_a_crash_a_machine_that_is_gone_holds_nothing_up() {
    let sshd = Sshd::start();
    let config = "[engine]\nreconnect_timeout = 1";
    let (mut app, instance) = on(&sshd, App::builder().config(config)).await;
    let id = post(&app, instance, "exec sleep 87204").await;
    let pid = located(&app, id).await;
    app.kill9().await;
    drop(sshd);
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "lost");
    let told = format!("{STOPPED}The machine could not be asked what became of it. ");
    assert!(reason(&task).starts_with(&told), "{task:#}");
    kill(pid);
}

#[tokio::test]
async fn after_a_crash_what_was_to_be_cancelled_is_and_that_is_confirmed() {
    let Some(user) = throwaway_user("/usr/bin/fish") else {
        return;
    };
    let sshd = Sshd::builder().user(user).start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let script = "sh -c \"trap : TERM; sleep 87205; sleep 87205; sleep 87205\"";
    let task = json!({"name": "t", "instance": instance, "user": sshd.user(), "script": script});
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    located(&app, id).await;
    cancel(&app, id).await;
    app.kill9().await;
    assert!(runs("sleep\x0087205"));
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled");
    assert_eq!(
        reason(&task),
        "Cancelled on request. Nothing of its session is left on the instance."
    );
    assert!(!runs("sleep\x0087205"));
}

async fn wait_for_refusal(client: &crate::harness::client::Client, instance: i64) {
    let task = json!({"name": "late", "instance": instance, "user": "nobody", "script": "true"});
    for _ in 0..200 {
        let reply = client.post("/wsexec/tasks", &task).await;
        if reply.status == 503 {
            assert!(!reply.header("retry-after").is_empty());
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("new tasks are taken during a stop");
}
