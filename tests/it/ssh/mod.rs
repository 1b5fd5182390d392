//! The SSH seam against a real sshd and a server that misbehaves.

mod audit;
mod busy;
mod choice;
mod commands;
mod conformance;
mod dropbear;
mod host_keys;
mod input;
mod jump;
mod login;
mod misbehaviour;
mod shells;
mod terminate;
mod with_russh;

use crate::harness::sshd::{Sshd, user};
use bytes::Bytes;
use std::path::PathBuf;
use std::time::Duration;
use wsexec::config;
use wsexec::ssh::{Connector, Event, Failure, Finding, Running, Session, Target, Whereabouts};

/// Short deadlines, the server's own client key, and a known_hosts file that is not there.
pub fn config(sshd: &Sshd) -> config::Ssh {
    config::Ssh {
        identities: vec![sshd.identity()],
        ..bare(sshd.dir().join("known_hosts"))
    }
}

/// Short deadlines and no identity.
pub fn bare(known_hosts: PathBuf) -> config::Ssh {
    config::Ssh {
        known_hosts: Some(known_hosts),
        library: library(),
        connect_timeout: 5,
        login_timeout: 10,
        start_timeout: 10,
        ..config::Ssh::default()
    }
}

/// The library that these tests run on: `with_russh` has them run again.
pub fn library() -> config::SshLibrary {
    match std::env::var("WSEXEC_TEST_SSH_LIBRARY").as_deref() {
        Ok("russh") => config::SshLibrary::Russh,
        _ => config::SshLibrary::Auto,
    }
}

/// The server, as an instance would name it.
pub fn target(sshd: &Sshd) -> Target {
    Target {
        host: sshd.address().ip().to_string(),
        port: sshd.port(),
        user: user(),
        host_key: None,
        ..Target::default()
    }
}

pub async fn connect(sshd: &Sshd) -> Session {
    attempt(&config(sshd), &target(sshd)).await.unwrap()
}

pub async fn attempt(config: &config::Ssh, target: &Target) -> Result<Session, Failure> {
    Connector::new(config).connect(target).await
}

pub fn refusal(result: Result<Session, Failure>) -> Failure {
    match result {
        Ok(_) => panic!("this login should be refused"),
        Err(failure) => failure,
    }
}

/// What a command wrote and how it ended.
#[derive(Debug, Default)]
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: Option<Event>,
}

pub async fn drain(running: &mut Running) -> Ran {
    let mut ran = Ran::default();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), running.next());
        match next.await.expect("the script ends in time") {
            Event::Stdout(data) => ran.stdout.extend_from_slice(&data),
            Event::Stderr(data) => ran.stderr.extend_from_slice(&data),
            end => {
                ran.end = Some(end);
                return ran;
            }
        }
    }
}

/// Ends what this connection has started.
pub async fn end(session: &mut Session, grace: Duration) -> Finding {
    let here = Whereabouts::here(Duration::from_secs(60));
    session.terminate(&here, None, grace).await
}

pub async fn run(session: &mut Session, command: &str) -> Ran {
    drain(&mut session.exec(command).await.unwrap()).await
}

/// A command that reads all of `data`, while its output is taken.
pub async fn feed(session: &mut Session, line: &str, terminal: bool, data: &[u8]) -> Ran {
    let (mut running, mut input) = session.open(line, terminal).await.unwrap();
    let give = async {
        for piece in data.chunks(100_000) {
            if input.write(Bytes::copy_from_slice(piece)).await.is_err() {
                break;
            }
        }
        input.finish();
    };
    tokio::join!(drain(&mut running), give).0
}
