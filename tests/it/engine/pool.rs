//! Connections are used again, by one script at a time, and only where that is safe.

use super::{on, post};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use serde_json::{Value, json};

/// How many logins the server has let in.
fn logins(sshd: &Sshd) -> usize {
    sshd.log().matches("Accepted publickey").count()
}

async fn run(app: &App, instance: i64, script: &str) -> Value {
    let id = post(app, instance, script).await;
    app.wait_ended(id).await
}

#[tokio::test]
async fn scripts_one_after_the_other_go_over_one_connection() {
    let sshd = Sshd::builder().line("LogLevel VERBOSE").start();
    let (app, instance) = on(&sshd, App::builder()).await;
    for n in 0..5 {
        let task = run(&app, instance, &format!("echo {n}")).await;
        assert_eq!(task["stdout"], format!("{n}\n"), "{task:#}");
    }
    assert_eq!(logins(&sshd), 1);
}

#[tokio::test]
async fn nothing_waits_where_the_pool_is_off_and_nothing_waits_too_long() {
    let sshd = Sshd::builder().line("LogLevel VERBOSE").start();
    let (app, instance) = on(&sshd, App::builder().config("[ssh]\npool_idle = 0")).await;
    run(&app, instance, "true").await;
    run(&app, instance, "true").await;
    assert_eq!(logins(&sshd), 2);
    let sshd = Sshd::builder().line("LogLevel VERBOSE").start();
    let (app, instance) = on(&sshd, App::builder().config("[ssh]\npool_idle = 1")).await;
    let task = run(&app, instance, "echo $PPID").await;
    let server = format!("/proc/{}", task["stdout"].as_str().unwrap().trim());
    let closed = || !std::path::Path::new(&server).exists();
    super::wait_for(closed, "the end of the connection").await;
    assert_eq!(run(&app, instance, "echo on").await["stdout"], "on\n");
    assert_eq!(logins(&sshd), 2);
}

#[tokio::test]
async fn a_connection_that_died_while_it_waited_costs_no_task() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = run(&app, instance, "echo $PPID").await;
    let server: i32 = task["stdout"].as_str().unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(server).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let task = run(&app, instance, "echo again").await;
    assert_eq!(
        (&task["outcome"], &task["stdout"], &task["attempt"]),
        (&json!("exited"), &json!("again\n"), &json!(1))
    );
}

#[tokio::test]
async fn a_server_that_takes_one_command_a_connection_fails_no_task() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let (app, instance) = on(&sshd, App::builder()).await;
    for n in 0..4 {
        let task = run(&app, instance, &format!("echo {n}; sleep 0.4")).await;
        assert_eq!(task["stdout"], format!("{n}\n"), "{task:#}");
    }
}

#[tokio::test]
async fn scripts_at_the_same_time_have_connections_of_their_own() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let script = "echo $PPID; sleep 0.5";
    let (one, two) = tokio::join!(run(&app, instance, script), run(&app, instance, script));
    assert_ne!(one["stdout"], two["stdout"]);
}
