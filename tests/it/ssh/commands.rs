//! What comes back of a command.

use super::{connect, drain, run, target};
use crate::harness::sshd::Sshd;
use std::time::{Duration, Instant};
use wsexec::ssh::Event;

#[tokio::test]
async fn the_exit_code_comes_back() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    for code in [0, 3, 255] {
        let ran = run(&mut session, &format!("exit {code}")).await;
        assert_eq!(ran.end, Some(Event::Exited(code)));
    }
}

#[tokio::test]
async fn a_signal_comes_back_by_its_name() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let ran = run(&mut session, "kill -KILL $$").await;
    assert_eq!(ran.end, Some(Event::Signalled("KILL".into())));
    let ran = run(&mut session, "kill -XCPU $$").await;
    assert!(matches!(ran.end, Some(Event::Signalled(_))), "{ran:?}");
}

#[tokio::test]
async fn both_streams_come_back_apart_and_byte_for_byte() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let data: Vec<u8> = (0..16 * 1024 * 1024u32)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect();
    let file = sshd.dir().join("data");
    std::fs::write(&file, &data).unwrap();
    let command = format!("cat {0}; head -c 1000000 {0} >&2; exit 3", file.display());
    let ran = run(&mut session, &command).await;
    assert!(ran.stdout == data, "{} bytes of stdout", ran.stdout.len());
    assert!(
        ran.stderr == data[..1_000_000],
        "{} bytes of stderr",
        ran.stderr.len()
    );
    assert_eq!(ran.end, Some(Event::Exited(3)));
}

#[tokio::test]
async fn a_script_of_120000_bytes_runs_as_it_is() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let text = "é".repeat(59_990);
    let script = format!("printf %s '{text}'");
    let script = format!("{script}{}", " ".repeat(120_000 - script.len()));
    let ran = run(&mut session, &script).await;
    assert!(ran.stdout == text.as_bytes());
    assert_eq!(ran.end, Some(Event::Exited(0)));
}

#[tokio::test]
async fn stdin_is_empty() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let ran = run(&mut session, "cat; echo end").await;
    assert_eq!(ran.stdout, b"end\n");
}

#[tokio::test]
async fn what_a_script_leaves_behind_does_not_hold_up_its_end() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let begun = Instant::now();
    let script = "sleep 30 & echo $!; exit 4";
    let mut running = session.exec(script).await.unwrap();
    assert_eq!(running.ending(), None);
    let Event::Stdout(left) = running.next().await else {
        panic!("it says what it leaves behind");
    };
    // Its exit is known while its output is still held open.
    while running.ending().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        let wait = tokio::time::timeout(Duration::from_millis(50), running.next());
        assert!(wait.await.is_err());
    }
    assert_eq!(running.ending(), Some(Event::Exited(4)));
    assert_eq!(drain(&mut running).await.end, Some(Event::Exited(4)));
    assert!(begun.elapsed() < Duration::from_secs(15));
    let left = String::from_utf8(left.to_vec()).unwrap();
    run(&mut session, &format!("kill {left}")).await;
}

#[tokio::test]
async fn two_commands_run_at_once_on_one_connection() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let mut first = session.exec("sleep 1; echo first").await.unwrap();
    let second = run(&mut session, "echo second").await;
    assert_eq!(second.stdout, b"second\n");
    assert_eq!(drain(&mut first).await.stdout, b"first\n");
}

#[tokio::test]
async fn output_that_nobody_reads_makes_the_machine_wait() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let mut running = session.exec("yes & echo $! >&2; wait").await.unwrap();
    for _ in 0..200 {
        assert!(matches!(
            running.next().await,
            Event::Stdout(_) | Event::Stderr(_)
        ));
    }
    drop(running);
    let ran = run(&mut session, "echo still here").await;
    assert_eq!(ran.stdout, b"still here\n");
}

#[tokio::test]
async fn a_server_without_more_sessions_is_told_as_such() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let mut session = connect(&sshd).await;
    let _first = session.exec("sleep 5").await.unwrap();
    let Err(failure) = session.exec("echo second").await else {
        panic!("a second session should be refused");
    };
    assert!(failure.reason.contains("MaxSessions"), "{}", failure.reason);
    assert!(failure.channel_refused, "another connection may do");
}

#[tokio::test]
async fn a_name_and_an_ipv6_address_are_reached() {
    let sshd = Sshd::start();
    let mut by_name = target(&sshd);
    by_name.host = "localhost".into();
    super::attempt(&super::config(&sshd), &by_name)
        .await
        .unwrap();
    let sshd = Sshd::builder()
        .address(std::net::Ipv6Addr::LOCALHOST)
        .start();
    assert_eq!(
        run(&mut connect(&sshd).await, "echo 6").await.stdout,
        b"6\n"
    );
}
