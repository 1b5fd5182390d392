//! Machines that are reached from others.

use super::{attempt, config, drain, end, feed, refusal, run, target};
use crate::harness::sshd::{Kind, Sshd, keygen, public_key};
use std::time::{Duration, Instant};
use wsexec::domain::Outcome;
use wsexec::ssh::{Event, Left, Located, Target, Whereabouts};

/// `to`, by way of `from`.
fn by(from: Target, to: Target) -> Target {
    Target {
        jump: Some(Box::new(from)),
        ..to
    }
}

/// Both let the first one's key in.
fn befriend(one: &Sshd, other: &Sshd) {
    other.authorize(&one.identity());
}

#[tokio::test]
async fn a_machine_behind_two_others_runs_scripts_and_takes_input() {
    let (first, second, last) = (Sshd::start(), Sshd::start(), Sshd::start());
    befriend(&first, &second);
    befriend(&first, &last);
    let way = by(by(target(&first), target(&second)), target(&last));
    let mut session = attempt(&config(&first), &way).await.unwrap();
    let ran = run(&mut session, "echo \"$SSH_CONNECTION\"").await;
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(said.ends_with(&format!(" {}\n", last.port())), "{said}");
    let data: Vec<u8> = (0..4_000_000u32).map(|i| (i >> 3) as u8).collect();
    let ran = feed(&mut session, "cat", false, &data).await;
    assert!(ran.stdout == data, "{} bytes came back", ran.stdout.len());
}

#[tokio::test]
async fn a_script_behind_another_machine_is_ended_though_only_the_last_one_knows_its_connection() {
    let (first, last) = (Sshd::start(), Sshd::start());
    befriend(&first, &last);
    let way = by(target(&first), target(&last));
    let config = config(&first);
    let mut session = attempt(&config, &way).await.unwrap();
    assert_eq!(session.ends(), None);
    let grace = Duration::from_secs(5);
    for located in [false, true] {
        let mut running = session.exec("echo up; sleep 300 | cat").await.unwrap();
        assert_eq!(running.next().await, Event::Stdout("up\n".into()));
        let end = async {
            if !located {
                return end(&mut session, grace).await;
            }
            let mut other = attempt(&config, &way).await.unwrap();
            let mut script = Whereabouts {
                age: Duration::from_secs(60),
                ..Whereabouts::default()
            };
            // Nothing tells another connection which script it is.
            let found = other.terminate(&script, None, grace).await;
            assert!(matches!(found.left, Left::Unknown(_)), "{found:?}");
            let Located::Process(process) = session.locate().await else {
                panic!("it is not located");
            };
            let connection = process.connection.clone().unwrap();
            let port = format!(" {}", last.port());
            assert!(connection.ends_with(&port), "{connection}");
            script.processes = vec![process];
            other.terminate(&script, None, grace).await
        };
        let (found, ran) = tokio::join!(end, drain(&mut running));
        assert_eq!((found.left, found.told), (Left::Nothing, true), "{located}");
        assert_eq!(ran.end, Some(Event::Signalled("TERM".into())), "{located}");
    }
}

#[tokio::test]
async fn output_that_nobody_takes_makes_a_machine_behind_another_wait_too() {
    let (first, last) = (Sshd::start(), Sshd::start());
    befriend(&first, &last);
    let way = by(target(&first), target(&last));
    let mut session = attempt(&config(&first), &way).await.unwrap();
    let mut flood = session.exec("yes & echo $! >&2; wait").await.unwrap();
    for _ in 0..100 {
        flood.next().await;
    }
    drop(flood);
    let ran = run(&mut session, "echo still here").await;
    assert_eq!(ran.stdout, b"still here\n");
}

#[tokio::test]
async fn the_machine_on_the_way_is_named_where_it_fails() {
    let (first, last) = (Sshd::start(), Sshd::start());
    let here = format!("The jump 127.0.0.1:{}: ", first.port());
    // Its key is not let in.
    let way = by(target(&first), target(&last));
    let failure = refusal(attempt(&config(&last), &way).await);
    assert_eq!(failure.outcome, Outcome::AuthFailed);
    assert!(failure.reason.starts_with(&here), "{}", failure.reason);
    // Its host key is another one.
    let stranger = first.dir().join("stranger");
    keygen(&stranger, Kind::Ed25519, "RFC4716", "");
    let line = format!("[127.0.0.1]:{} {}\n", first.port(), public_key(&stranger));
    std::fs::write(first.dir().join("known_hosts"), line).unwrap();
    let failure = refusal(attempt(&config(&first), &way).await);
    assert_eq!(failure.outcome, Outcome::HostKeyRefused);
    assert!(failure.reason.starts_with(&here), "{}", failure.reason);
    // The key that was shown is the jump's.
    let at = failure.jump.as_deref();
    assert_eq!(at, Some(&("127.0.0.1".into(), first.port())));
    assert!(failure.shown.is_some());
}

#[tokio::test]
async fn the_machine_behind_is_judged_by_its_own_host_key_and_login() {
    let (first, last) = (Sshd::start(), Sshd::start());
    let way = by(target(&first), target(&last));
    // The target does not know the key that the jump does.
    let failure = refusal(attempt(&config(&first), &way).await);
    assert_eq!(failure.outcome, Outcome::AuthFailed);
    assert!(!failure.reason.contains("jump"), "{}", failure.reason);
    befriend(&first, &last);
    let stranger = first.dir().join("stranger");
    keygen(&stranger, Kind::Ed25519, "RFC4716", "");
    let line = format!("[127.0.0.1]:{} {}\n", last.port(), public_key(&stranger));
    std::fs::write(first.dir().join("known_hosts"), line).unwrap();
    let failure = refusal(attempt(&config(&first), &way).await);
    assert_eq!(failure.outcome, Outcome::HostKeyRefused);
}

#[tokio::test]
async fn a_jump_that_may_not_or_cannot_connect_says_so() {
    let forbidding = Sshd::builder().line("AllowTcpForwarding no").start();
    let last = Sshd::start();
    let way = by(target(&forbidding), target(&last));
    let failure = refusal(attempt(&config(&forbidding), &way).await);
    assert_eq!(failure.outcome, Outcome::Unreachable);
    assert!(
        failure.reason.contains("AllowTcpForwarding"),
        "{}",
        failure.reason
    );
    let first = Sshd::start();
    let mut nobody = target(&last);
    drop(last);
    nobody.user = "nobody".into();
    let failure = refusal(attempt(&config(&first), &by(target(&first), nobody)).await);
    assert_eq!(failure.outcome, Outcome::Unreachable);
    assert!(
        failure.reason.contains("The jump opened no connection"),
        "{}",
        failure.reason
    );
}

/// The server's processes for connections (`sshd: USER`), as its own children.
fn connections(sshd: &Sshd) -> usize {
    let parent = sshd.pid().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .filter(|stat| {
            let behind = stat.rsplit(") ").next().unwrap_or_default();
            behind.split(' ').nth(1) == Some(&parent)
        })
        .count()
}

#[tokio::test]
async fn nothing_is_left_of_either_connection_once_the_session_is_dropped() {
    let (first, last) = (Sshd::start(), Sshd::start());
    befriend(&first, &last);
    let way = by(target(&first), target(&last));
    let alive = || {
        let metrics = tokio::runtime::Handle::current().metrics();
        metrics.num_alive_tasks()
    };
    let before = alive();
    let mut session = attempt(&config(&first), &way).await.unwrap();
    let mut flood = session.exec("exec yes").await.unwrap();
    flood.next().await;
    assert_eq!((connections(&first), connections(&last)), (1, 1));
    drop(session);
    let deadline = Instant::now() + Duration::from_secs(5);
    while (connections(&first), connections(&last), alive()) != (0, 0, before) {
        let now = (connections(&first), connections(&last), alive());
        assert!(Instant::now() < deadline, "{now:?}, {before}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(flood);
}
