//! What a run needs of its machine, and what it is there.

use super::{
    cancel, directories, end_those_with, on, post, post_with, runs, state_directory, wait_for,
};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, throwaway_user};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

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
