//! Nothing of a script is left after its end was ordered.

use super::{Ran, connect, drain};
use crate::harness::sshd::Sshd;
use std::path::Path;
use std::time::{Duration, Instant};
use wsexec::ssh::{Event, Session, Termination};

/// Starts a script that says `up`, and ends it.
async fn start_and_end(session: &mut Session, script: &str, grace: u64) -> (Termination, Ran) {
    let mut running = session.exec(script).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"up\n") {
        match running.next().await {
            Event::Stdout(data) => said.extend_from_slice(&data),
            other => panic!("{other:?}"),
        }
    }
    let grace = Duration::from_secs(grace);
    let (termination, mut ran) = tokio::join!(session.terminate(grace), drain(&mut running));
    said.append(&mut ran.stdout);
    ran.stdout = said;
    (termination, ran)
}

/// The processes whose command line holds a word that only one test uses.
fn alive(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| {
            let line = std::fs::read(Path::new("/proc").join(pid).join("cmdline"));
            let line = line.unwrap_or_default();
            line.split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
        })
        .collect()
}

#[tokio::test]
async fn a_script_with_children_ends_at_once() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let begun = Instant::now();
    let script = "sleep 86101 & sleep 86101 | cat & echo up; wait";
    let (termination, ran) = start_and_end(&mut session, script, 5).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(ran.end, Some(Event::Signalled("TERM".into())));
    assert_eq!(alive("86101"), Vec::<String>::new());
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_makes_a_process_group_of_its_own_ends_too() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "timeout 86102 sleep 86102 & echo up; wait";
    let (termination, _) = start_and_end(&mut session, script, 5).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(alive("86102"), Vec::<String>::new());
}

#[tokio::test]
async fn a_script_that_ignores_term_is_killed_after_the_grace() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "trap \"\" TERM; sleep 86103 & echo up; while :; do sleep 1; done";
    let (termination, ran) = start_and_end(&mut session, script, 1).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(ran.end, Some(Event::Signalled("KILL".into())));
    assert_eq!(alive("86103"), Vec::<String>::new());
}

#[tokio::test]
async fn a_script_that_cleans_up_gets_the_time_for_it() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "trap \"echo cleaned; exit 7\" TERM; echo up; while :; do sleep 0.1; done";
    let (termination, ran) = start_and_end(&mut session, script, 5).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(ran.stdout, b"up\ncleaned\n");
    assert_eq!(ran.end, Some(Event::Exited(7)));
}

#[tokio::test]
async fn a_flood_ends_too() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "echo up; sleep 0.5; exec yes 86104";
    let (termination, _) = start_and_end(&mut session, script, 5).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(alive("86104"), Vec::<String>::new());
}

#[tokio::test]
async fn one_connection_leaves_the_scripts_of_another_alone() {
    let sshd = Sshd::start();
    let (mut one, mut other) = (connect(&sshd).await, connect(&sshd).await);
    let mut spared = other.exec("sleep 86105; echo spared").await.unwrap();
    let (termination, _) = start_and_end(&mut one, "echo up; sleep 86106", 5).await;
    assert_eq!(termination, Termination::Confirmed);
    assert_eq!(
        alive("86105").len(),
        1,
        "the other connection's script still runs"
    );
    tokio::join!(other.terminate(Duration::from_secs(5)), drain(&mut spared));
    assert_eq!(alive("86105"), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_second_session_the_end_is_not_confirmed() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let mut session = connect(&sshd).await;
    let script = "echo up; exec sleep 3";
    let (termination, _) = start_and_end(&mut session, script, 1).await;
    assert!(matches!(termination, Termination::Unconfirmed(why) if why.contains("MaxSessions")));
}
