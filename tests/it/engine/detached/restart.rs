//! What a run is to a server that stops, is killed, or is there twice.

use super::{is_current, on, post, post_with, runs, state_directory};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::process::Command;

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
