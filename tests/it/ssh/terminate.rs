//! Nothing of a script is left after its end was ordered.

use super::{Ran, config, connect, drain, end, target};
use crate::harness::sshd::{Sshd, throwaway_user};
use std::path::Path;
use std::time::{Duration, Instant};
use wsexec::ssh::{Connector, Event, Finding, Left, Located, Session, Target, Whereabouts};

/// The numbers that begin with 861 mark what only one test starts; as the same tests run in another
/// process at the same time, this process's own number makes them its own.
fn marked(script: &str) -> String {
    script.replace("861", &format!("{}861", std::process::id()))
}

/// Starts a script that says `up`, and ends it.
async fn start_and_end(session: &mut Session, script: &str, grace: u64) -> (Finding, Ran) {
    let mut running = session.exec(&marked(script)).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"up\n") {
        match running.next().await {
            Event::Stdout(data) => said.extend_from_slice(&data),
            other => panic!("{other:?}"),
        }
    }
    let grace = Duration::from_secs(grace);
    let (found, mut ran) = tokio::join!(end(session, grace), drain(&mut running));
    said.append(&mut ran.stdout);
    ran.stdout = said;
    (found, ran)
}

/// The processes whose command line holds a word that only one test uses.
fn alive(mark: &str) -> Vec<String> {
    let mark = marked(mark);
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
    let (found, ran) = start_and_end(&mut session, script, 5).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(ran.end, Some(Event::Signalled("TERM".into())));
    assert_eq!(alive("86101"), Vec::<String>::new());
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_makes_a_process_group_of_its_own_ends_too() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "timeout 86102 sleep 86102 & echo up; wait";
    let (found, _) = start_and_end(&mut session, script, 5).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(alive("86102"), Vec::<String>::new());
}

#[tokio::test]
async fn a_script_that_ignores_term_is_killed_after_the_grace() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "trap \"\" TERM; sleep 86103 & echo up; while :; do sleep 1; done";
    let (found, ran) = start_and_end(&mut session, script, 1).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(ran.end, Some(Event::Signalled("KILL".into())));
    assert_eq!(alive("86103"), Vec::<String>::new());
}

#[tokio::test]
async fn a_script_that_cleans_up_gets_the_time_for_it() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "trap \"echo cleaned; exit 7\" TERM; echo up; while :; do sleep 0.1; done";
    let (found, ran) = start_and_end(&mut session, script, 5).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(ran.stdout, b"up\ncleaned\n");
    assert_eq!(ran.end, Some(Event::Exited(7)));
}

#[tokio::test]
async fn a_flood_ends_too() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "echo up; sleep 0.5; exec yes 86104";
    let (found, _) = start_and_end(&mut session, script, 5).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(alive("86104"), Vec::<String>::new());
}

#[tokio::test]
async fn one_connection_leaves_the_scripts_of_another_alone() {
    let sshd = Sshd::start();
    let (mut one, mut other) = (connect(&sshd).await, connect(&sshd).await);
    let mut spared = other
        .exec(&marked("sleep 86105; echo spared"))
        .await
        .unwrap();
    let (found, _) = start_and_end(&mut one, "echo up; sleep 86106", 5).await;
    assert_eq!(found.left, Left::Nothing);
    assert_eq!(
        alive("86105").len(),
        1,
        "the other connection's script still runs"
    );
    tokio::join!(end(&mut other, Duration::from_secs(5)), drain(&mut spared));
    assert_eq!(alive("86105"), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_second_session_another_connection_ends_it() {
    let sshd = Sshd::builder().line("MaxSessions 1").start();
    let mut session = connect(&sshd).await;
    let begun = Instant::now();
    let mut running = session
        .exec(&marked("echo up; sleep 86107 & wait"))
        .await
        .unwrap();
    assert_eq!(running.next().await, Event::Stdout("up\n".into()));
    let grace = Duration::from_secs(5);
    let refused = end(&mut session, grace).await.left;
    assert!(
        matches!(&refused, Left::Unasked(why) if why.contains("MaxSessions")),
        "{refused:?}"
    );
    let script = Whereabouts {
        connection: session.ends(),
        age: begun.elapsed(),
        ..Whereabouts::default()
    };
    let left = connect(&sshd).await.look(&script).await.left;
    assert!(
        matches!(&left, Left::Processes(which) if which.contains("(sleep)")),
        "{left:?}"
    );
    let found = connect(&sshd).await.terminate(&script, None, grace).await;
    assert_eq!((found.left, found.told), (Left::Nothing, true));
    assert_eq!(
        drain(&mut running).await.end,
        Some(Event::Signalled("TERM".into()))
    );
    assert_eq!(alive("86107"), Vec::<String>::new());
}

#[tokio::test]
async fn what_left_by_setsid_is_told_and_left_alone() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "setsid sleep 86108 & setsid sleep 86108 & echo up; sleep 86109";
    let (found, _) = start_and_end(&mut session, script, 5).await;
    assert_eq!(found.left, Left::Nothing);
    let escaped = alive("86108");
    assert_eq!(escaped.len(), 2);
    let told = found.escaped.expect("it can be seen");
    assert!(
        told.starts_with("2 processes left the script's session by setsid and go on: "),
        "{told}"
    );
    for pid in &escaped {
        assert!(told.contains(&format!("{pid} (sleep)")), "{told}");
    }
    // Asked again, it is not taken for the script.
    let again = end(&mut session, Duration::ZERO).await;
    assert!(matches!(again.left, Left::Unknown(_)), "{again:?}");
    assert_eq!(alive("86108"), escaped);
    for pid in escaped {
        kill(&pid);
    }
}

#[tokio::test]
async fn a_script_is_located_without_a_trace_in_its_streams_and_ended_by_that() {
    let sshd = Sshd::start();
    let mut session = connect(&sshd).await;
    let script = "echo up; set -m; sleep 86110 & sleep 86110 | cat & wait";
    let mut running = session.exec(&marked(script)).await.unwrap();
    assert_eq!(running.next().await, Event::Stdout("up\n".into()));
    let Located::Process(process) = session.locate().await else {
        panic!("it is not located");
    };
    assert_eq!(process.connection, session.ends());
    let known = |process| Whereabouts {
        processes: vec![process],
        age: Duration::from_secs(60),
        ..Whereabouts::default()
    };
    let mut other = connect(&sshd).await;
    // Somebody else has its number now, or the machine was started again.
    let mut later = process.clone();
    later.started += 1;
    let mut rebooted = process.clone();
    rebooted.boot = "0".repeat(36);
    for gone in [later, rebooted] {
        let found = other.terminate(&known(gone), None, Duration::ZERO).await;
        assert_eq!(found.left, Left::Nothing);
    }
    assert_eq!(alive("86110").len(), 2);
    // The leader alone is gone.
    kill(&process.pid.to_string());
    let ran = drain(&mut running);
    let end = async {
        while Path::new("/proc").join(process.pid.to_string()).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        other
            .terminate(&known(process.clone()), None, Duration::from_secs(5))
            .await
    };
    let (ran, found) = tokio::join!(ran, end);
    assert_eq!(found.left, Left::Nothing);
    assert_eq!((ran.stdout, ran.stderr), (vec![], vec![]));
    assert_eq!(alive("86110"), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_forced_command_answers_is_not_believed() {
    for forced in [
        "echo $SSH_ORIGINAL_COMMAND; echo gone",
        "echo up; exec sleep 3",
        "yes gone",
    ] {
        let sshd = Sshd::builder()
            .line(format!("ForceCommand {forced}"))
            .start();
        let mut session = connect(&sshd).await;
        let mut running = session.exec("true").await.unwrap();
        assert!(matches!(running.next().await, Event::Stdout(_)));
        let ask = async {
            assert_eq!(session.locate().await, Located::Never, "{forced}");
            end(&mut session, Duration::ZERO).await.left
        };
        let left = tokio::select! {
            left = ask => left,
            () = async { loop { running.next().await; tokio::task::yield_now().await } } => unreachable!(),
        };
        assert!(
            matches!(&left, Left::Unknown(why) if why.contains("forced command")),
            "{forced}: {left:?}"
        );
    }
}

#[tokio::test]
async fn a_user_without_rights_is_served_too() {
    for shell in ["dash", "bash", "zsh", "fish", "tcsh"] {
        let Some(user) = throwaway_user(&format!("/usr/bin/{shell}")) else {
            return;
        };
        let sshd = Sshd::builder().user(user).start();
        let target = Target {
            user: sshd.user(),
            ..target(&sshd)
        };
        let connector = Connector::new(&config(&sshd));
        let mut session = connector.connect(&target).await.unwrap();
        let script = "sh -c \"trap : TERM; setsid sleep 86111 & timeout 86112 sleep 86112 & echo up; \
            sleep 86112; sleep 86112 | sleep 86112\"";
        let (found, _) = start_and_end(&mut session, script, 1).await;
        assert_eq!(found.left, Left::Nothing, "{shell}");
        let told = found.escaped.unwrap_or_default();
        assert!(told.starts_with("1 process left"), "{shell}: {told}");
        assert_eq!(alive("86112"), Vec::<String>::new(), "{shell}");
    }
}

fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
