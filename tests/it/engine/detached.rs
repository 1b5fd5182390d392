//! Runs that outlive the server.

use super::{cancel, is_current, on, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::cable::Cable;
use crate::harness::sshd::{Sshd, user};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A detached task with further fields; gives its id.
async fn post_with(app: &App, instance: i64, script: &str, more: Value) -> i64 {
    let mut task = json!({
        "name": "test", "instance": instance, "user": user(), "script": script, "mode": "detached",
    });
    let fields = task.as_object_mut().unwrap();
    fields.extend(more.as_object().cloned().unwrap_or_default());
    app.post_task(task).await["id"].as_i64().expect("an id")
}

async fn post(app: &App, instance: i64, script: &str) -> i64 {
    post_with(app, instance, script, json!({})).await
}

fn state_directory(sshd: &Sshd) -> PathBuf {
    sshd.dir().join(".local/state/wsexec")
}

/// The directories of runs on the machine.
fn directories(sshd: &Sshd) -> Vec<String> {
    let Ok(entries) = fs::read_dir(state_directory(sshd)) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|e| e.file_name().into_string());
    names.map(Result::unwrap).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::test]
async fn a_detached_run_gives_its_output_and_exit_code_and_leaves_nothing() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let script = "echo out; echo err >&2; umask; pwd; exit 7";
    let id = post(&app, instance, script).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["outcome"], &task["rc"]),
        (&json!("DONE"), &json!("exited"), &json!(7)),
        "{task:#}"
    );
    let attached = app.run(instance, &user(), script).await;
    assert_eq!(task["stdout"], attached["stdout"]);
    assert_eq!(task["stderr"], "err\n");
    assert!(task["reason"].is_null(), "{}", task["reason"]);
    let (start, end) = (
        task["start"].as_i64().unwrap(),
        task["end"].as_i64().unwrap(),
    );
    assert!(start <= end && (now() - end).abs() < 30, "{start} {end}");
    let raw = app
        .client()
        .get(&format!("/wsexec/tasks/{id}/output"))
        .await;
    assert_eq!(raw.header("wsexec-order"), "approximate");
    wait_for(|| directories(&sshd).is_empty(), "an empty directory").await;
}

#[tokio::test]
async fn a_detached_run_goes_on_while_the_server_is_dead_and_nothing_of_it_is_missing_or_twice() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let (gate, log) = (sshd.dir().join("gate"), sshd.dir().join("ran"));
    let script = format!(
        "echo ran >> {}; for i in $(seq 1 2000); do echo $i; echo e$i >&2; done; \
         until test -e {}; do echo tick; sleep 0.05; done; seq 2001 4000; exit 5",
        log.display(),
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(8_900))
        .await;
    app.kill9().await;
    app.restart().await;
    app.wait_until(id, is_current).await;
    app.kill9().await;
    fs::write(gate, "").unwrap();
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["rc"]),
        (&json!("DONE"), &json!(5)),
        "{}",
        task["reason"]
    );
    let lines = task["stdout"].as_str().unwrap().lines();
    let numbers: Vec<&str> = lines.filter(|line| *line != "tick").collect();
    let expected: Vec<String> = (1..=4000).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected);
    let errors: String = (1..=2000).map(|n| format!("e{n}\n")).collect();
    assert_eq!(task["stderr"], errors);
    assert_eq!(fs::read_to_string(log).unwrap(), "ran\n");
}

#[tokio::test]
async fn a_stop_leaves_detached_runs_alone_at_once() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder().config("[engine]\nstop_grace = 600")).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo begun; until test -e {}; do sleep 0.05; done; echo end",
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout"] == "begun\n").await;
    app.signal(Signal::TERM);
    assert!(app.wait_exit().await.success());
    app.restart().await;
    let task = app.wait_until(id, is_current).await;
    assert_eq!(task["stdout"], "begun\n");
    fs::write(gate, "").unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("exited"), &json!("begun\nend\n"))
    );
}

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
async fn a_deadline_of_a_detached_run_counts_from_its_start_also_across_a_restart() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let marker = format!("8{}", sshd.port());
    let script = format!("echo on; sleep {marker}");
    let id = post_with(&app, instance, &script, json!({"timeout": 3})).await;
    app.wait_until(id, |task| task["stdout"] == "on\n").await;
    app.kill9().await;
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "timed_out", "{task:#}");
    let took = task["end"].as_i64().unwrap() - task["start"].as_i64().unwrap();
    assert!((3..20).contains(&took), "{took}");
    assert!(!runs(&format!("sleep\0{marker}")));
}

#[tokio::test]
async fn past_the_limit_head_and_tail_are_kept_and_the_machines_files_stay_small() {
    let sshd = Sshd::start();
    let limit = 256 * 1024;
    let config = format!("[engine]\noutput_limit = {limit}");
    let (app, instance) = on(&sshd, App::builder().config(&config)).await;
    let (written, gate) = (sshd.dir().join("written"), sshd.dir().join("gate"));
    // 40 MiB, in lines of 8 bytes.
    let script = format!(
        "seq -f %07.0f 1 5242880; touch {}; until test -e {}; do sleep 0.05; done; echo last",
        written.display(),
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    wait_for_file(&written).await;
    let [directory] = &directories(&sshd)[..] else {
        panic!("one directory");
    };
    let run = state_directory(&sshd).join(directory).join("run");
    let sizes = fs::read_dir(run).unwrap().flatten();
    let kept: u64 = sizes.map(|file| file.metadata().unwrap().len()).sum();
    assert!(kept <= limit + 16 * 1024, "{kept}");
    fs::write(gate, "").unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(task["rc"], 0, "{task:#}");
    let total = 5_242_880 * 8 + 5;
    assert_eq!(task["stdout_bytes"], total);
    let gap = &task["stdout_gap"];
    let (offset, length) = (
        gap["offset"].as_u64().unwrap(),
        gap["length"].as_u64().unwrap(),
    );
    assert_eq!(total - length, limit);
    let all: Vec<u8> = (1..=5_242_880)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .chain(*b"last\n")
        .collect();
    let raw = app
        .client()
        .get(&format!("/wsexec/tasks/{id}/stdout"))
        .await;
    let (offset, behind) = (
        usize::try_from(offset).unwrap(),
        usize::try_from(offset + length).unwrap(),
    );
    assert!(raw.body[..offset] == all[..offset], "the head");
    assert!(raw.body[offset..] == all[behind..], "the tail");
}

#[tokio::test]
async fn stdin_environment_directory_and_interpreter_reach_a_detached_run() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let more = json!({
        "stdin": "line one\nline 'two'\n", "env": {"WORD": "it's \"here\" $HOME"}, "cwd": "/usr",
        "interpreter": "python3",
    });
    let script =
        "import os, sys\nprint(os.environ['WORD'], os.getcwd())\nprint(sys.stdin.read(), end='')";
    let id = post_with(&app, instance, script, more).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        task["stdout"], "it's \"here\" $HOME /usr\nline one\nline 'two'\n",
        "{task:#}"
    );
    let more = json!({"cwd": "/not/there"});
    let id = post_with(&app, instance, "true", more).await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "start_failed");
    assert!(
        task["reason"].as_str().unwrap().contains("/not/there"),
        "{}",
        task["reason"]
    );
    wait_for(
        || {
            directories(&sshd)
                .iter()
                .all(|name| name.starts_with("script-"))
        },
        "an empty directory",
    )
    .await;
}

#[tokio::test]
async fn where_nothing_can_be_kept_a_detached_run_does_not_start() {
    let sshd = Sshd::builder()
        .line("SetEnv XDG_STATE_HOME=/proc/none")
        .start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let ran = sshd.dir().join("ran");
    let id = post(&app, instance, &format!("touch {}", ran.display())).await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "start_failed");
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains("/proc/none") && reason.contains("XDG_STATE_HOME"),
        "{reason}"
    );
    assert!(!ran.exists());
}

#[tokio::test]
async fn a_run_whose_directory_is_gone_is_lost_and_not_started_again() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let (log, gate) = (sshd.dir().join("ran"), sshd.dir().join("gate"));
    let script = format!(
        "echo ran >> {}; echo on; until test -e {}; do sleep 0.05; done",
        log.display(),
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout"] == "on\n").await;
    app.kill9().await;
    fs::remove_dir_all(state_directory(&sshd)).unwrap();
    app.restart().await;
    let task = app.wait_ended(id).await;
    fs::write(gate, "").unwrap();
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("lost"), &json!("on\n"))
    );
    assert!(
        task["reason"]
            .as_str()
            .unwrap()
            .contains("directory is gone")
    );
    assert_eq!(fs::read_to_string(log).unwrap(), "ran\n");
}

#[tokio::test]
async fn an_exit_code_that_a_signal_may_have_made_is_told_as_such() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let id = post(&app, instance, "echo word; kill -KILL $$").await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["rc"], &task["stdout"]),
        (&json!(137), &json!("word\n"))
    );
    assert!(
        task["reason"].as_str().unwrap().contains("signal KILL"),
        "{}",
        task["reason"]
    );
}
