//! Servers that have too many logins under way.

use super::{attempt, config, refusal, run, target};
use crate::harness::sshd::Sshd;
use futures_util::future::join_all;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wsexec::domain::Outcome;
use wsexec::ssh::{Connector, Target};

/// Holds a server's places for logins by saying nothing, until it is dropped.
fn hold(sshd: &Sshd, places: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while held.len() < places {
        let mut stream = TcpStream::connect(sshd.address()).unwrap();
        // It counts from the moment that it has greeted. The one that waited for the server to
        // come up may still count too.
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).unwrap();
        if greeting == *b"SSH-" {
            held.push(stream);
        }
    }
    held
}

#[tokio::test]
async fn a_login_waits_for_a_server_that_says_it_is_busy_longer_than_a_login_may_take() {
    let sshd = Sshd::builder().line("MaxStartups 2").start();
    let mut config = config(&sshd);
    config.login_timeout = 1;
    let held = hold(&sshd, 2);
    let begun = Instant::now();
    let release = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(2500));
        drop(held);
    });
    let mut session = attempt(&config, &target(&sshd)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert_eq!(run(&mut session, "echo in").await.stdout, b"in\n");
    release.await.unwrap();
    assert!(sshd.log().contains("MaxStartups"), "{}", sshd.log());
}

#[tokio::test]
async fn many_logins_at_once_all_get_in_and_none_is_dropped() {
    let sshd = Sshd::builder().line("MaxStartups 10:100:10").start();
    let connector = Connector::new(&config(&sshd));
    let target = target(&sshd);
    let logins = join_all((0..24).map(|_| connector.connect(&target))).await;
    for login in logins {
        login.unwrap();
    }
    assert!(!sshd.log().contains("MaxStartups"), "{}", sshd.log());
}

/// A server that closes the first connections without a word, and then is what `then` says.
fn closing(times: usize, then: &'static [u8]) -> (Target, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        user: "someone".into(),
        ..Target::default()
    };
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if counted.fetch_add(1, Ordering::SeqCst) >= times {
                let _ = stream.unwrap().write_all(then);
            }
        }
    });
    (target, count)
}

#[tokio::test]
async fn a_close_without_a_word_is_tried_again_for_as_long_as_a_login_may_take() {
    let sshd = Sshd::start();
    let mut config = config(&sshd);
    config.login_timeout = 2;
    let (target, count) = closing(usize::MAX, b"");
    let begun = Instant::now();
    let failure = refusal(attempt(&config, &target).await);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(count.load(Ordering::SeqCst) > 3, "{count:?}");
    assert_eq!(failure.outcome, Outcome::Unreachable);
    assert!(failure.reason.contains("MaxStartups"), "{}", failure.reason);
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_not_tried_again() {
    let sshd = Sshd::start();
    let (target, count) = closing(0, b"220 mail.example ESMTP\r\n");
    let failure = refusal(attempt(&config(&sshd), &target).await);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(failure.outcome, Outcome::Unreachable);
}
