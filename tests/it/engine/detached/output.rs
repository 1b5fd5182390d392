//! What a run writes, and the exit code that it gives.

use super::{directories, end_those_with, on, post, state_directory, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::small_disk::SmallDisk;
use crate::harness::sshd::{Sshd, user};
use serde_json::json;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

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
async fn a_full_disk_on_the_machine_ends_nothing_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path(), 300) else {
        return;
    };
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
