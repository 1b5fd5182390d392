//! Dropbear, where the scripts of a connection share the session of the server's own process.

use super::{bare, drain, end};
use crate::harness::dropbear::Dropbear;
use crate::harness::sshd::{Kind, user};
use rustix::process::getuid;
use std::path::Path;
use std::time::Duration;
use wsexec::config;
use wsexec::domain::{Become, BecomeMethod, Launch};
use wsexec::ssh::{
    Command, Connector, Event, Left, Located, Other, Running, Session, Target, Whereabouts,
};

const GRACE: Duration = Duration::from_secs(5);
const AGE: Duration = Duration::from_secs(60);

async fn connect(dropbear: &Dropbear) -> Session {
    let config = config::Ssh {
        identities: vec![dropbear.identity()],
        ..bare(dropbear.identity().with_file_name("known_hosts"))
    };
    let target = Target {
        host: "127.0.0.1".into(),
        port: dropbear.port(),
        user: user(),
        ..Target::default()
    };
    Connector::new(&config).connect(&target).await.unwrap()
}

/// A number that only one test of this process sleeps for.
fn marker(number: u32) -> String {
    format!("{}871{number}", std::process::id())
}

/// How many processes have the word in their command lines.
fn alive(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            line.split(|byte| *byte == 0)
                .any(|it| it == mark.as_bytes())
        })
        .count()
}

async fn up(running: &mut Running) {
    assert_eq!(running.next().await, Event::Stdout("up\n".into()));
}

#[tokio::test]
async fn every_process_of_a_script_ends_and_the_connection_and_its_neighbours_live_on() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let (mut one, mut other) = (connect(&dropbear).await, connect(&dropbear).await);
    let (mine, spared, out) = (marker(1), marker(2), marker(3));
    let mut neighbour = other
        .exec(&format!("echo up; sleep {spared} | cat"))
        .await
        .unwrap();
    up(&mut neighbour).await;
    let script = format!(
        "setsid sleep {out} & trap : TERM; (sleep {mine} &); env -i sleep {mine} & \
         timeout {mine} sleep {mine} & sleep 0.2; echo up; while :; do sleep 1; done"
    );
    let mut running = one.exec(&script).await.unwrap();
    up(&mut running).await;
    let grace = Duration::from_secs(1);
    let (found, ran) = tokio::join!(end(&mut one, grace), drain(&mut running));
    assert_eq!((found.left, found.told), (Left::Nothing, true));
    assert_eq!(ran.end, Some(Event::Signalled("KILL".into())));
    assert_eq!((alive(&mine), alive(&spared), alive(&out)), (0, 1, 1));
    let escaped = found.escaped.unwrap_or_default();
    assert!(escaped.starts_with("1 process left"), "{escaped}");
    let (found, _) = tokio::join!(end(&mut other, GRACE), drain(&mut neighbour));
    assert_eq!((found.left, alive(&spared)), (Left::Nothing, 0));
    kill(&out);
}

#[tokio::test]
async fn what_an_earlier_script_left_behind_is_not_ended_with_a_later_one() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let mut session = connect(&dropbear).await;
    let (daemon, mine) = (marker(4), marker(5));
    let earlier = format!("sleep {daemon} </dev/null >/dev/null 2>&1 &");
    drain(&mut session.exec(&earlier).await.unwrap()).await;
    // The age of a script is known to two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut running = session
        .exec(&format!("echo up; sleep {mine} | cat"))
        .await
        .unwrap();
    up(&mut running).await;
    let here = Whereabouts::here(Duration::ZERO);
    let (found, _) = tokio::join!(session.terminate(&here, None, GRACE), drain(&mut running));
    assert_eq!(found.left, Left::Nothing);
    assert_eq!((alive(&mine), alive(&daemon)), (0, 1));
    kill(&daemon);
}

#[tokio::test]
async fn a_located_script_is_ended_over_another_connection_while_the_first_one_lives_and_after() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    for (number, dies) in [(6, false), (7, true)] {
        let (mut first, mut second) = (connect(&dropbear).await, connect(&dropbear).await);
        let mine = marker(number);
        let script = format!("echo up; env -i sleep {mine} | sleep {mine}; echo ended");
        let mut running = first.exec(&script).await.unwrap();
        up(&mut running).await;
        let Located::Process(process) = first.locate().await else {
            panic!("it is not located");
        };
        assert_eq!(process.connection, first.ends());
        let server = format!("/proc/{}", process.pid);
        let script = Whereabouts {
            connection: process.connection.clone(),
            processes: vec![process],
            age: AGE,
            here: false,
        };
        if dies {
            drop(running);
            drop(first);
            while Path::new(&server).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let left = second.look(&script).await.left;
            assert!(matches!(left, Left::Processes(_)), "{left:?}");
            // A question is asked over a connection of its own.
            second = connect(&dropbear).await;
            let found = second.terminate(&script, None, GRACE).await;
            assert_eq!((found.left, found.told), (Left::Nothing, true));
        } else {
            let ended = second.terminate(&script, None, GRACE);
            let (found, _) = tokio::join!(ended, drain(&mut running));
            assert_eq!((found.left, found.told), (Left::Nothing, true));
            assert!(Path::new(&server).exists());
        }
        assert_eq!(alive(&mine), 0);
    }
}

#[tokio::test]
async fn a_script_that_was_never_located_is_ended_by_its_connection_after_that_died() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let mut first = connect(&dropbear).await;
    let mine = marker(8);
    let mut running = first
        .exec(&format!("echo up; sleep {mine} | sleep {mine}"))
        .await
        .unwrap();
    up(&mut running).await;
    let script = Whereabouts {
        connection: first.ends(),
        age: AGE,
        ..Whereabouts::default()
    };
    drop(running);
    drop(first);
    let mut second = connect(&dropbear).await;
    let found = second.terminate(&script, None, GRACE).await;
    assert_eq!((found.left, found.told), (Left::Nothing, true));
    assert_eq!(alive(&mine), 0);
}

#[tokio::test]
async fn what_a_delivered_script_says_of_itself_ends_it_and_nothing_else() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let nobody = Become {
        method: BecomeMethod::Sudo,
        user: "nobody".into(),
        password: None,
    };
    let becomes = getuid().is_root().then_some(&nobody);
    for (number, pty, become_user) in [
        (10, false, None),
        (11, true, None),
        (12, false, becomes),
        (13, true, becomes),
    ] {
        let mut session = connect(&dropbear).await;
        let mine = marker(number);
        let command = Command {
            script: format!("sleep {mine} | sleep {mine}"),
            launch: Launch {
                cwd: Some("/".into()),
                become_user: become_user.cloned(),
                pty,
                ..Launch::default()
            },
            password: None,
            secrets: Vec::new(),
            stdin: None,
        };
        let mut running = session.start(&command).await.unwrap();
        let process = running.process().cloned().expect("it says who it is");
        while alive(&mine) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let script = Whereabouts {
            connection: process.connection.clone(),
            processes: vec![process],
            age: AGE,
            here: true,
        };
        let other = become_user.map(|become_user| Other {
            become_user,
            password: None,
        });
        let ended = session.terminate(&script, other, GRACE);
        let (found, _) = tokio::join!(ended, drain(&mut running));
        assert_eq!((found.left, found.told), (Left::Nothing, true), "{number}");
        assert_eq!(alive(&mine), 0, "{number}");
    }
}

fn kill(mark: &str) {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    for process in processes {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if line == format!("sleep\0{mark}\0").as_bytes() {
            let pid = process.file_name().into_string().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
}
