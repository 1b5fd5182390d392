//! What a command reads.

use super::{connect, drain, feed};
use crate::harness::sshd::Sshd;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use wsexec::ssh::Event;

fn data(length: u32) -> Vec<u8> {
    (0..length)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect()
}

#[tokio::test]
async fn sixteen_mebibytes_go_through_cat_and_come_back_as_they_were() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let data = data(16 * 1024 * 1024);
    let ran = feed(&mut session, "cat; exit 6", false, &data).await;
    assert!(ran.stdout == data, "{} bytes came back", ran.stdout.len());
    assert_eq!(ran.end, Some(Event::Exited(6)));
}

#[tokio::test]
async fn a_reader_that_takes_its_time_loses_nothing_though_it_says_nothing() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let data = data(12_345_678);
    let file = sshd.dir().join("taken");
    let line = format!("sleep 1; cat > {}", file.display());
    let ran = feed(&mut session, &line, false, &data).await;
    assert_eq!(ran.end, Some(Event::Exited(0)));
    assert!(std::fs::read(file).unwrap() == data);
}

#[tokio::test]
async fn input_survives_keys_that_are_exchanged_again_and_again() {
    let sshd = Sshd::builder().line("RekeyLimit 1M").start();
    let mut session = connect(&sshd).await;
    let data = data(8 * 1024 * 1024);
    let ran = feed(&mut session, "cat", false, &data).await;
    assert!(ran.stdout == data, "{} bytes came back", ran.stdout.len());
}

#[tokio::test]
async fn a_script_that_exits_without_reading_ends_the_input() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let (mut running, mut input) = session.open("sleep 0.5; exit 3", false).await.unwrap();
    let give = async {
        while input
            .write(Bytes::from_static(&[b'x'; 65536]))
            .await
            .is_ok()
        {}
    };
    let both = async { tokio::join!(drain(&mut running), give).0 };
    let ran = timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!(ran.end, Some(Event::Exited(3)));
}

#[tokio::test]
async fn a_dropped_connection_ends_the_input() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let (_running, mut input) = session.open("exec sleep 5", false).await.unwrap();
    let give = async {
        while input
            .write(Bytes::from_static(&[b'x'; 65536]))
            .await
            .is_ok()
        {}
    };
    tokio::pin!(give);
    let half = timeout(Duration::from_millis(500), &mut give).await;
    assert!(half.is_err(), "the machine makes us wait");
    drop(session);
    timeout(Duration::from_secs(2), give).await.unwrap();
}

#[tokio::test]
async fn an_input_that_is_dropped_ends_after_what_was_given() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let (mut running, mut input) = session.open("cat; echo end", false).await.unwrap();
    input.write("given ".into()).await.unwrap();
    drop(input);
    assert_eq!(drain(&mut running).await.stdout, b"given end\n");
}

#[tokio::test]
async fn a_signal_gets_through_while_input_waits() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let mut session = connect(&sshd).await;
    let (mut running, mut input) = session.open("exec sleep 3", false).await.unwrap();
    let give = async {
        while input
            .write(Bytes::from_static(&[b'x'; 65536]))
            .await
            .is_ok()
        {}
    };
    let begun = Instant::now();
    let end = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        super::end(&mut session, Duration::ZERO).await;
        begun.elapsed()
    };
    let (_, (), told) = tokio::join!(drain(&mut running), give, end);
    assert!(told < Duration::from_secs(2), "{told:?}");
}

#[tokio::test]
async fn a_terminal_passes_bytes_as_they_are() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let all: Vec<u8> = (0..=255).collect();
    let line = "test -t 0 && test -t 2 && echo \"$TERM\" >&2; exec head -c 256";
    let (mut running, mut input) = session.open(line, true).await.unwrap();
    input.write(Bytes::from(all.clone())).await.unwrap();
    let ran = drain(&mut running).await;
    assert_eq!(ran.stdout, [b"dumb\n", all.as_slice()].concat());
    assert!(ran.stderr.is_empty());
}

#[tokio::test]
async fn a_machine_that_gives_no_terminal_is_told_as_such_and_runs_nothing() {
    let sshd = Sshd::builder().line("PermitTTY no").start();
    let mut config = super::config(&sshd);
    config.start_timeout = 1;
    let target = super::target(&sshd);
    let mut session = super::attempt(&config, &target).await.unwrap();
    let mark = sshd.dir().join("ran");
    let line = format!("touch {}", mark.display());
    let Err(failure) = session.open(&line, true).await else {
        panic!("it has a terminal");
    };
    assert!(failure.reason.contains("PermitTTY"), "{}", failure.reason);
    assert!(!mark.exists());
}
