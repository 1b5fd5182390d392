//! A connection that breaks, or takes no second command, is no end: the machine is asked again.

use super::{cancel, is_current, kill, located, on, post, reason, runs, wait_for, wait_for_file};
use crate::harness::app::{App, Builder};
use crate::harness::door::Door;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The reason of a script that nothing is heard of any more begins so.
const LOST: &str = "The connection to the machine was lost before the script's end was known. ";

/// Nothing listens there.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A server that reaches the machine through a door: as behind a NAT, the machine sees another
/// address.
async fn behind_a_door(sshd: &Sshd, builder: Builder) -> (App, i64, Door) {
    let (app, _) = on(sshd, builder).await;
    let door = Door::to(sshd.address()).await;
    let instance = app.declare("127.0.0.1", door.port()).await;
    (app, instance, door)
}

/// Runs a script until it was located, and breaks its connection until the condition holds.
async fn broken(config: &str, script: &str, until: impl Fn() -> bool) -> (Sshd, App, Value) {
    let sshd = Sshd::start();
    let (app, instance, door) = behind_a_door(&sshd, App::builder().config(config)).await;
    let id = post(&app, instance, script).await;
    located(&app, id).await;
    door.lead_to(NOWHERE);
    wait_for(until, "its end").await;
    door.lead_to(sshd.address());
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("lost"))
    );
    (sshd, app, task)
}

#[tokio::test]
async fn a_script_that_goes_on_without_its_connection_is_left_alone_and_named() {
    let (_sshd, app, task) = broken("", "echo so far; exec sleep 87101", || true).await;
    assert!(runs("sleep\x0087101"));
    assert_eq!(task["stdout"], "so far\n");
    let pid = located(&app, task["id"].as_i64().unwrap()).await;
    assert_eq!(
        reason(&task),
        format!("{LOST}It still runs there and was left alone (engine.orphans): {pid} (sleep).")
    );
    kill(pid);
}

#[tokio::test]
async fn a_script_that_goes_on_without_its_connection_is_ended_where_that_is_configured() {
    let config = "[engine]\norphans = \"end\"\ncancel_grace = 1";
    let script = "trap '' TERM; sleep 87102 | sleep 87102";
    let (_sshd, _app, task) = broken(config, script, || true).await;
    assert!(!runs("sleep\x0087102"));
    assert_eq!(
        reason(&task),
        format!(
            "{LOST}It still ran there and was told to end (engine.orphans). \
             Nothing of its session is left on the instance."
        )
    );
}

#[tokio::test]
async fn of_a_script_that_ended_with_its_connection_nothing_is_left() {
    // Its next word finds nobody.
    let script = "while echo so far; do sleep 0.05; : 87103; done";
    let (_sshd, _app, task) = broken("", script, || !runs("87103")).await;
    assert_eq!(
        reason(&task),
        format!("{LOST}Nothing of it runs there any more; its exit code is not known.")
    );
}

#[tokio::test]
async fn a_machine_that_does_not_come_back_cannot_be_asked() {
    let sshd = Sshd::start();
    let builder = App::builder().config("[engine]\nreconnect_timeout = 1");
    let (app, instance, door) = behind_a_door(&sshd, builder).await;
    let id = post(&app, instance, "exec sleep 87104").await;
    let pid = located(&app, id).await;
    door.lead_to(NOWHERE);
    let task = app.wait_ended(id).await;
    let told = format!("{LOST}The machine could not be asked what became of it. ");
    assert!(reason(&task).starts_with(&told), "{task:#}");
    assert!(runs("sleep\x0087104"));
    kill(pid);
}

#[tokio::test]
async fn a_cancel_after_the_connection_broke_is_confirmed_over_another() {
    let sshd = Sshd::start();
    let (app, instance, door) = behind_a_door(&sshd, App::builder()).await;
    let id = post(&app, instance, "sleep 87105 & setsid sleep 87106 & wait").await;
    located(&app, id).await;
    door.lead_to(NOWHERE);
    cancel(&app, id).await;
    let task = app
        .wait_until(id, |task| task["cancel_requested"] == true)
        .await;
    assert_eq!(task["state"], "CURRENT");
    assert!(runs("sleep\x0087105"));
    door.lead_to(sshd.address());
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled");
    assert!(!runs("sleep\x0087105"));
    let told = "Cancelled on request. Nothing of its session is left on the instance. \
                1 process left the script's session by setsid and goes on: ";
    let escaped = reason(&task).strip_prefix(told).unwrap_or_default();
    let pid = escaped.strip_suffix(" (sleep).").unwrap_or_default();
    kill(pid.parse().unwrap_or_else(|_| panic!("{task:#}")));
}

#[tokio::test]
async fn a_script_whose_connection_broke_before_it_was_located_is_found_by_that() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\norphans = \"end\"")).await;
    // It ends the process that serves its connection.
    let script = "kill -9 $PPID; exec sleep 87107";
    let task = app.run(instance, &user(), script).await;
    assert!(!runs("sleep\x0087107"), "{task:#}");
    assert_eq!(task["outcome"], "lost");
    assert!(
        reason(&task).ends_with("Nothing of its session is left on the instance."),
        "{task:#}"
    );
}

#[tokio::test]
async fn where_a_connection_takes_one_command_only_a_cancel_is_confirmed_over_another() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let id = post(&app, instance, "sleep 87108 | sleep 87108").await;
    wait_for(|| runs("sleep\x0087108"), "the script").await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        reason(&task),
        "Cancelled on request. Nothing of its session is left on the instance."
    );
    assert!(!runs("sleep\x0087108"));
}

#[tokio::test]
async fn a_forced_command_runs_and_its_cancel_is_not_confirmed() {
    let sshd = Sshd::start();
    let begun = sshd.dir().join("begun");
    let forced = format!("echo run >> {}; exec sleep 3", begun.display());
    let keys = sshd.dir().join("authorized_keys");
    let key = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, format!("command=\"{forced}\" {key}")).unwrap();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let task = app.run(instance, &user(), "true").await;
    assert_eq!((&task["state"], &task["rc"]), (&json!("DONE"), &json!(0)));
    std::fs::remove_file(&begun).unwrap();
    let id = post(&app, instance, "true").await;
    app.wait_until(id, is_current).await;
    wait_for_file(&begun).await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled");
    assert!(
        reason(&task).contains("It is not confirmed") && reason(&task).contains("forced command"),
        "{task:#}"
    );
}
