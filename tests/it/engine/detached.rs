//! Runs that outlive the server.

use super::{cancel, is_current, on, runs, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::cable::Cable;
use crate::harness::sshd::{Sshd, throwaway_user, user};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
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
    let next = super::post(&app, elsewhere, "echo next").await;
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
async fn what_a_machine_has_shown_and_then_denies_is_stored_once() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo hello; until test -e {}; do sleep 0.05; done; cd ~/.local/state/wsexec/*/run; : > out.head",
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout"] == "hello\n").await;
    fs::write(&gate, "").unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["rc"], &task["stdout"]),
        (&json!(0), &json!("hello\n"))
    );
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

#[tokio::test]
async fn a_machine_that_takes_one_command_at_a_time_is_enough() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let id = post(&app, instance, "echo one; exit 3").await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["rc"], &task["stdout"]),
        (&json!(3), &json!("one\n")),
        "{task:#}"
    );
    let marker = format!("4{}", sshd.port());
    let id = post(&app, instance, &format!("echo two; sleep {marker}")).await;
    app.wait_until(id, |task| task["stdout"] == "two\n").await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("cancelled"), &json!("two\n"))
    );
    assert!(!runs(&format!("sleep\0{marker}")), "{}", task["reason"]);
}

#[tokio::test]
async fn busybox_is_all_that_a_machine_needs() {
    let tools = tempfile::tempdir().unwrap();
    let list = Command::new("busybox")
        .arg("--list")
        .output()
        .expect("busybox is installed");
    let busybox = fs::canonicalize("/bin/busybox").expect("busybox is installed");
    for applet in String::from_utf8(list.stdout).unwrap().lines() {
        symlink(&busybox, tools.path().join(applet)).unwrap();
    }
    let path = format!("SetEnv PATH={}", tools.path().display());
    let sshd = Sshd::builder().line(path).start();
    let config = "[engine]\noutput_limit = 65536\ncancel_grace = 1";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let id = post(
        &app,
        instance,
        "command -v sh; seq 1 200000; echo err >&2; exit 9",
    )
    .await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["rc"], &task["stderr"]),
        (&json!(9), &json!("err\n")),
        "{task:#}"
    );
    let out = task["stdout"].as_str().unwrap();
    assert!(
        out.starts_with(&format!("{}/sh\n1\n2\n", tools.path().display())),
        "{}",
        &out[..80]
    );
    assert!(out.ends_with("\n199999\n200000\n"));
    let lines: u64 = (1..=200_000_u64)
        .map(|n| n.to_string().len() as u64 + 1)
        .sum();
    let first = tools.path().as_os_str().len() as u64 + "/sh\n".len() as u64;
    assert_eq!(task["stdout_bytes"], lines + first);
}

#[tokio::test]
async fn a_detached_run_as_another_user_is_that_users_through_and_through() {
    let Some(other) = throwaway_user("/bin/bash") else {
        return;
    };
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let marker = format!("3{}", sshd.port());
    let script = format!("id -un; echo $HOME; pwd; sleep {marker}");
    let more = json!({"become": {"method": "sudo", "user": other.name}});
    let id = post_with(&app, instance, &script, more).await;
    let home = other.home().display();
    let expected = format!("{}\n{home}\n{home}\n", other.name);
    app.wait_until(id, |task| task["stdout"] == expected).await;
    assert!(directories(&sshd).is_empty());
    let theirs = other.home().join(".local/state/wsexec");
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 1);
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        task["reason"],
        "Cancelled on request. Nothing of its session is left on the instance."
    );
    assert!(!runs(&format!("sleep\0{marker}")));
    wait_for(
        || fs::read_dir(&theirs).unwrap().count() == 0,
        "an empty directory",
    )
    .await;
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_waited_for_a_while_only() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let marker = format!("2{}", sshd.port());
    let id = post(
        &app,
        instance,
        &format!("echo one; sleep {marker} & exit 4"),
    )
    .await;
    let task = app.wait_ended(id).await;
    assert_eq!((&task["rc"], &task["stdout"]), (&json!(4), &json!("one\n")));
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains("left behind still held its output open"),
        "{reason}"
    );
    let took = task["end"].as_i64().unwrap() - task["start"].as_i64().unwrap();
    assert!(took < 5, "the end is the script's own: {took}");
    end_those_with(&format!("sleep\0{marker}"));
}

#[tokio::test]
async fn where_what_watches_over_a_run_is_killed_it_is_lost_and_the_reason_says_what_still_runs() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let marker = format!("1{}", sshd.port());
    let id = post(&app, instance, &format!("echo one; sleep {marker}; :")).await;
    app.wait_until(id, |task| task["stdout"] == "one\n").await;
    let [directory] = &directories(&sshd)[..] else {
        panic!("one directory");
    };
    let process = fs::read_to_string(state_directory(&sshd).join(directory).join("run/process"));
    let watcher = process.unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(watcher).unwrap(), Signal::KILL).unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["stdout"]),
        (&json!("lost"), &json!("one\n"))
    );
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("the script itself still runs there."),
        "{reason}"
    );
    end_those_with(&format!("sleep\0{marker}"));
}

#[tokio::test]
async fn a_full_disk_on_the_machine_ends_nothing_and_is_told() {
    let disk = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=300k,mode=777", "tmpfs"])
        .arg(disk.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: only root with CAP_SYS_ADMIN can mount a small disk");
        return;
    }
    let _mounted = Mounted(disk.path().to_owned());
    let sshd = Sshd::builder()
        .line(format!("SetEnv XDG_STATE_HOME={}", disk.path().display()))
        .start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let id = post(&app, instance, "seq 1 300000; echo last; exit 6").await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["rc"]),
        (&json!("DONE"), &json!(6)),
        "{task:#}"
    );
    let all: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(task["stdout_bytes"], all.len() + "last\n".len());
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("its disk was full"), "{reason}");
    let out = task["stdout"].as_str().unwrap();
    assert!(out.len() > 100_000 && all.starts_with(out), "{}", out.len());
    wait_for(
        || fs::read_dir(disk.path().join("wsexec")).unwrap().count() == 0,
        "an empty directory",
    )
    .await;
}

/// A mount that goes with its test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn two_servers_on_copies_of_one_store_never_run_a_claimed_task_twice() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let (log, gate) = (sshd.dir().join("ran"), sshd.dir().join("gate"));
    let script = format!(
        "echo ran >> {}; echo one; until test -e {}; do sleep 0.05; done; echo two; exit 3",
        log.display(),
        gate.display()
    );
    let id = post(&app, instance, &script).await;
    app.wait_until(id, |task| task["stdout"] == "one\n").await;
    app.kill9().await;
    let mut other = App::builder().identity(sshd.identity()).start().await;
    other.stop().await;
    let copied = Command::new("cp")
        .arg("-a")
        .arg(app.data())
        .arg(other.data().parent().unwrap())
        .status();
    assert!(copied.unwrap().success());
    app.restart().await;
    other.restart().await;
    for server in [&app, &other] {
        server.wait_until(id, is_current).await;
    }
    let fresh = [
        post(&app, instance, "echo $PPID").await,
        post(&other, instance, "echo $PPID").await,
    ];
    assert_eq!(fresh[0], fresh[1], "the same id in both");
    let first = app.wait_ended(fresh[0]).await;
    let second = other.wait_ended(fresh[1]).await;
    assert_eq!((&first["rc"], &second["rc"]), (&json!(0), &json!(0)));
    assert_ne!(
        first["stdout"], second["stdout"],
        "each has a run of its own"
    );
    fs::write(gate, "").unwrap();
    let ends = [app.wait_ended(id).await, other.wait_ended(id).await];
    let known: Vec<_> = ends.iter().filter(|task| task["rc"] == 3).collect();
    assert!(!known.is_empty(), "{ends:#?}");
    assert!(known.iter().all(|task| task["stdout"] == "one\ntwo\n"));
    let lost = ends.iter().filter(|task| task["outcome"] == "lost");
    assert_eq!(known.len() + lost.count(), 2);
    assert_eq!(fs::read_to_string(log).unwrap(), "ran\n");
}

/// Ends what a test has left behind.
fn end_those_with(marker: &str) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let pid = process
            .file_name()
            .to_string_lossy()
            .parse()
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid
            && String::from_utf8_lossy(&line).contains(marker)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
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

#[tokio::test]
async fn what_is_old_and_still_to_be_taken_is_not_swept() {
    let sshd = Sshd::start();
    let mut cable = Cable::to(sshd.address()).await;
    let app = App::builder().identity(sshd.identity()).start().await;
    let far = app.declare("127.0.0.1", cable.port()).await;
    let near = app.declare("127.0.0.1", sshd.port()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo one; until test -e {}; do sleep 0.05; done; echo two",
        gate.display()
    );
    let first = post(&app, far, &script).await;
    app.wait_until(first, |task| task["stdout"] == "one\n")
        .await;
    cable.cut().await;
    fs::write(gate, "").unwrap();
    let done = state_directory(&sshd)
        .join(&directories(&sshd)[0])
        .join("run/done");
    wait_for_file(&done).await;
    let long_ago = SystemTime::now() - std::time::Duration::from_secs(20 * 24 * 60 * 60);
    let file = fs::File::options().write(true).open(&done).unwrap();
    file.set_modified(long_ago).unwrap();
    let other = post(&app, near, "true").await;
    assert_eq!(app.wait_ended(other).await["rc"], 0);
    cable.mend().await;
    assert_eq!(app.wait_ended(first).await["stdout"], "one\ntwo\n");
}

#[tokio::test]
async fn old_directories_of_this_server_are_swept_and_no_others() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo one; until test -e {}; do sleep 0.05; done",
        gate.display()
    );
    let first = post(&app, instance, &script).await;
    app.wait_until(first, |task| task["stdout"] == "one\n")
        .await;
    let runs = directories(&sshd);
    let store = &runs[0][..36];
    let old = |name: &str, over: bool, days: u32| {
        let run = state_directory(&sshd).join(name).join("run");
        fs::create_dir_all(&run).unwrap();
        let aged = if over {
            run.join("done")
        } else {
            state_directory(&sshd).join(name)
        };
        if over {
            fs::write(&aged, "").unwrap();
        }
        let date = format!("{days} days ago");
        let touched = Command::new("touch")
            .arg("-d")
            .arg(date)
            .arg(&aged)
            .status();
        assert!(touched.unwrap().success());
    };
    old(&format!("{store}-over-long-ago"), true, 8);
    old(&format!("{store}-over-lately"), true, 3);
    old(&format!("{store}-abandoned-long-ago"), false, 31);
    old(&format!("{store}-abandoned-lately"), false, 20);
    old("another-store-over-long-ago", true, 100);
    let second = post(&app, instance, "true").await;
    assert_eq!(app.wait_ended(second).await["rc"], 0);
    let expected = [
        "another-store-over-long-ago".to_owned(),
        format!("{store}-abandoned-lately"),
        format!("{store}-over-lately"),
        runs[0].clone(),
    ];
    let left = || {
        directories(&sshd)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
    };
    wait_for(|| left() == expected.iter().cloned().collect(), "the sweep").await;
    fs::write(gate, "").unwrap();
    assert_eq!(app.wait_ended(first).await["rc"], 0);
}
