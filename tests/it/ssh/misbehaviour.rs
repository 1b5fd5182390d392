//! Servers that misbehave: each ends within its deadline, with the right outcome, and leaves
//! nothing.

use super::{Ran, attempt, bare, drain, refusal};
use crate::harness::scripted::{Behaviour, OUTPUT, Scripted};
use crate::harness::sshd::{Kind, Sshd, keygen};
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wsexec::config;
use wsexec::domain::Outcome;
use wsexec::ssh::{Connector, Event, Failure, Left, Session, Target};

/// A second for each step, and a key that every scripted server takes.
fn config() -> (config::Ssh, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    keygen(&key, Kind::Ed25519, "RFC4716", "");
    let config = config::Ssh {
        identities: vec![key],
        connect_timeout: 1,
        login_timeout: 1,
        start_timeout: 1,
        ..bare(dir.path().join("known_hosts"))
    };
    (config, dir)
}

fn at(address: SocketAddr) -> Target {
    Target {
        host: address.ip().to_string(),
        port: address.port(),
        user: "someone".into(),
        host_key: None,
        ..Target::default()
    }
}

async fn no_login(behaviour: Behaviour) -> Failure {
    let server = Scripted::start(behaviour).await;
    let (config, _dir) = config();
    let begun = Instant::now();
    let failure = refusal(attempt(&config, &at(server.address())).await);
    assert!(begun.elapsed() < Duration::from_secs(3), "{behaviour:?}");
    assert_eq!(failure.outcome, Outcome::Unreachable, "{}", failure.reason);
    failure
}

#[tokio::test]
async fn a_server_that_does_not_get_as_far_as_a_login_is_unreachable() {
    const EXCHANGE: &str = "did not finish the key exchange within 1 s";
    const CLOSED: &str = "closed the connection before the login";
    let expected = [
        (Behaviour::SilentAfterAccept, EXCHANGE),
        (Behaviour::SilentAfterBanner, EXCHANGE),
        (Behaviour::StallsInKeyExchange, EXCHANGE),
        (Behaviour::StallsInLogin, "not finish the login within 1 s"),
        (Behaviour::SpeaksHttp, CLOSED),
        (Behaviour::ClosesAtOnce, CLOSED),
        (Behaviour::ClosesInKeyExchange, CLOSED),
        (
            Behaviour::OffersOtherMacs,
            "MAC (MACs): it offers umac-64@openssh.com; WSEXEC has hmac-sha2-",
        ),
        (Behaviour::AnnouncesHugePacket, "does not speak SSH"),
    ];
    let check = async |(behaviour, words): (Behaviour, &str)| {
        let reason = no_login(behaviour).await.reason;
        assert!(reason.contains(words), "{behaviour:?}: {reason}");
    };
    join_all(expected.into_iter().map(check)).await;
}

#[tokio::test]
async fn a_key_that_was_not_proved_is_told_as_such_and_not_handed_on() {
    let failure = no_login(Behaviour::ShowsStolenKey).await;
    let words = "could not prove that it holds its host key";
    assert!(failure.reason.contains(words), "{}", failure.reason);
    assert_eq!(failure.shown, None);
    // Also where the key would be refused, or is the very one on record.
    let server = Scripted::start(Behaviour::ShowsStolenKey).await;
    let (config, _dir) = config();
    let config = config::Ssh {
        host_keys: config::HostKeys::Strict,
        ..config
    };
    let failure = refusal(attempt(&config, &at(server.address())).await);
    assert!(failure.reason.contains(words), "{}", failure.reason);
    assert_eq!(failure.shown, None);
}

#[tokio::test]
async fn an_address_without_a_server_is_unreachable() {
    let (config, _dir) = config();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = at(listener.local_addr().unwrap());
    drop(listener);
    let failure = refusal(attempt(&config, &target).await);
    assert_eq!(failure.outcome, Outcome::Unreachable);
    assert!(
        failure.reason.contains("refused the connection"),
        "{}",
        failure.reason
    );

    let nameless = Target {
        host: "no-such-name.invalid".into(),
        ..target
    };
    let failure = refusal(attempt(&config, &nameless).await);
    assert_eq!(failure.outcome, Outcome::Unreachable);
    assert!(
        failure.reason.contains("no-such-name.invalid"),
        "{}",
        failure.reason
    );
}

async fn logged_in(behaviour: Behaviour) -> (Session, Scripted, TempDir) {
    let server = Scripted::start(behaviour).await;
    let (config, dir) = config();
    let session = attempt(&config, &at(server.address())).await.unwrap();
    (session, server, dir)
}

async fn not_started(behaviour: Behaviour) -> Failure {
    let (mut session, _server, _dir) = logged_in(behaviour).await;
    let begun = Instant::now();
    let Err(failure) = session.exec("true").await else {
        panic!("{behaviour:?} started");
    };
    assert!(begun.elapsed() < Duration::from_secs(3), "{behaviour:?}");
    failure
}

#[tokio::test]
async fn a_command_that_the_machine_does_not_take_is_not_started() {
    let failure = not_started(Behaviour::ClosesOnExec).await;
    assert_eq!(failure.outcome, Outcome::StartFailed, "{}", failure.reason);
}

#[tokio::test]
async fn a_command_that_was_sent_and_got_no_answer_may_run() {
    for (behaviour, words) in [
        (Behaviour::IgnoresExec, "did not say within 1 s"),
        (Behaviour::DropsOnExec, "The connection was lost"),
    ] {
        let failure = not_started(behaviour).await;
        assert_eq!(failure.outcome, Outcome::Lost, "{behaviour:?}");
        for words in [words, "it may have started and may still run there"] {
            let reason = &failure.reason;
            assert!(reason.contains(words), "{behaviour:?}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_command_that_is_refused_is_not_started_where_the_library_tells() {
    let failure = not_started(Behaviour::RefusesExec).await;
    let (outcome, words) = match super::library() {
        config::SshLibrary::Russh => (Outcome::StartFailed, "refused to run the script"),
        _ => (Outcome::Lost, "did not say within 1 s"),
    };
    assert_eq!(failure.outcome, outcome, "{}", failure.reason);
    assert!(failure.reason.contains(words), "{}", failure.reason);
}

#[tokio::test]
async fn a_refused_channel_is_not_started() {
    let sshd = Sshd::builder().line("MaxSessions 0").start();
    let mut session = super::connect(&sshd).await;
    let Err(failure) = session.exec("true").await else {
        panic!("started without a channel");
    };
    assert_eq!(failure.outcome, Outcome::StartFailed);
}

async fn ran(behaviour: Behaviour) -> Ran {
    let (mut session, _server, _dir) = logged_in(behaviour).await;
    let mut running = session.exec("true").await.unwrap();
    drain(&mut running).await
}

#[tokio::test]
async fn an_end_without_an_exit_status_is_told_as_such() {
    for behaviour in [Behaviour::EndsWithoutStatus, Behaviour::DropsInOutput] {
        let ran = ran(behaviour).await;
        assert_eq!(ran.stdout, OUTPUT, "{behaviour:?}");
        assert!(
            matches!(ran.end, Some(Event::Disconnected(_))),
            "{behaviour:?} {ran:?}"
        );
    }
}

#[tokio::test]
async fn an_exit_status_waits_for_the_output_and_is_not_lost_with_the_connection() {
    let all = ran(Behaviour::StatusBeforeOutput).await;
    assert_eq!(
        (all.stdout.as_slice(), all.end),
        (OUTPUT, Some(Event::Exited(5)))
    );
    let cut = ran(Behaviour::DropsAfterStatus).await;
    assert_eq!(cut.end, Some(Event::Exited(5)));
}

#[tokio::test]
async fn an_order_to_end_is_not_held_up_by_a_machine_that_is_silent() {
    let (mut session, _server, _dir) = logged_in(Behaviour::SilentInOutput).await;
    let mut running = session.exec("true").await.unwrap();
    assert!(matches!(running.next().await, Event::Stdout(_)));
    let begun = Instant::now();
    let end = super::end(&mut session, Duration::ZERO);
    let end = tokio::time::timeout(Duration::from_secs(17), end).await;
    let end = end.expect("it is given up").left;
    let unconfirmed = matches!(end, Left::Unknown(_) | Left::Unasked(_));
    assert!(unconfirmed, "{end:?}");
    assert!(begun.elapsed() < Duration::from_secs(17));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Counts in a process of its own, as other tests open descriptors too.
#[test]
fn nothing_is_left_of_connections_that_came_to_nothing() {
    let counted = Command::new(std::env::current_exe().unwrap())
        .args([
            "ssh::misbehaviour::count_what_is_left",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&counted.stdout);
    assert!(counted.status.success(), "{said}");
}

#[tokio::test]
#[ignore = "the test above runs it, in a process of its own"]
async fn count_what_is_left() {
    let (config, _dir) = config();
    let connector = Connector::new(&config);
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let mut servers = Vec::new();
    for behaviour in [
        Behaviour::SilentAfterAccept,
        Behaviour::SilentAfterBanner,
        Behaviour::StallsInKeyExchange,
        Behaviour::ClosesInKeyExchange,
        Behaviour::StallsInLogin,
        Behaviour::IgnoresExec,
        Behaviour::SilentInOutput,
        Behaviour::Floods,
    ] {
        servers.push(Scripted::start(behaviour).await);
    }
    let before = (descriptors(), alive());
    let used = join_all((0..80).map(async |number| {
        let target = at(servers[number % servers.len()].address());
        // A caller that goes away in the middle must leave nothing either.
        if number % 3 == 0 {
            let attempt = connector.connect(&target);
            let _ = tokio::time::timeout(Duration::from_millis(200), attempt).await;
        }
        let Ok(mut session) = connector.connect(&target).await else {
            return;
        };
        if let Ok(mut running) = session.exec("true").await {
            running.next().await;
            // An order that does not matter to what is left.
            if number % 2 == 0 {
                drop(session);
            }
        }
    }));
    used.await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while (descriptors(), alive()) != before {
        let now = (descriptors(), alive());
        assert!(Instant::now() < deadline, "{before:?} became {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
