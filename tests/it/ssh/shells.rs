//! Whatever login shell the user has, a script runs in it and can be ended.

use super::{Ran, config, drain, run, target};
use crate::harness::sshd::{Builder, Sshd, throwaway_user};
use std::path::Path;
use std::time::Duration;
use wsexec::ssh::{Connector, Event, Finding, Left, Session, Target};

/// Says which program runs it, whichever shell that is. What follows keeps that program from
/// putting `sh` into its own place.
const WHICH: &str = "sh -c 'readlink /proc/$PPID/exe'; exit 3";

/// Logs in as the user of the server.
async fn connect(sshd: &Sshd) -> Session {
    let target = Target {
        user: sshd.user(),
        ..target(sshd)
    };
    let connector = Connector::new(&config(sshd));
    connector.connect(&target).await.unwrap()
}

/// A server for the user that the tests run as, and one for a user without rights.
fn servers(shell: &str) -> Vec<Sshd> {
    let builders: [Option<Builder>; 2] = [
        Some(Sshd::builder().login_shell(shell)),
        throwaway_user(shell).map(|user| Sshd::builder().user(user)),
    ];
    builders.into_iter().flatten().map(Builder::start).collect()
}

/// Starts a script that says `up`, and ends it.
async fn start_and_end(session: &mut Session, script: &str) -> (Finding, Ran) {
    let mut running = session.exec(script).await.unwrap();
    assert_eq!(running.next().await, Event::Stdout("up\n".into()));
    let grace = Duration::from_secs(5);
    tokio::join!(super::end(session, grace), drain(&mut running))
}

async fn serves(shell: &str) {
    for sshd in servers(shell) {
        let who = format!("{} with {shell}", sshd.user());
        let mut session = connect(&sshd).await;
        let ran = run(&mut session, WHICH).await;
        let program = String::from_utf8(ran.stdout).unwrap();
        let expected = std::fs::canonicalize(shell).unwrap();
        assert_eq!(Path::new(program.trim_end()), expected, "{who}");
        assert_eq!(ran.end, Some(Event::Exited(3)), "{who}");
        assert_eq!(ran.stderr, b"", "{who}");

        let script = "echo up; sleep 86200 | cat; echo never";
        let (found, ran) = start_and_end(&mut session, script).await;
        assert_eq!(found.left, Left::Nothing, "{who}");
        assert_ne!(ran.end, Some(Event::Exited(0)), "{who}");
        assert_eq!(ran.stdout, b"", "{who}");
    }
}

#[tokio::test]
async fn a_user_without_rights_has_a_home_of_its_own_and_is_gone_with_the_test() {
    let Some(user) = throwaway_user("/bin/sh") else {
        return;
    };
    let (name, home) = (user.name.clone(), user.home().to_owned());
    let sshd = Sshd::builder().user(user).start();
    let mut session = connect(&sshd).await;
    let ran = run(&mut session, "id -un; pwd; sleep 86202 &").await;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said, format!("{name}\n{}\n", home.display()));
    drop((session, sshd));
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    assert!(!passwd.contains(&name), "{passwd}");
    assert!(!home.exists());
}

#[tokio::test]
async fn a_script_runs_and_ends_in_dash() {
    serves("/usr/bin/dash").await;
}

#[tokio::test]
async fn a_script_runs_and_ends_in_bash() {
    serves("/usr/bin/bash").await;
}

#[tokio::test]
async fn a_script_runs_and_ends_in_zsh() {
    serves("/usr/bin/zsh").await;
}

#[tokio::test]
async fn a_script_runs_and_ends_in_fish() {
    serves("/usr/bin/fish").await;
}

#[tokio::test]
async fn a_script_runs_and_ends_in_tcsh() {
    serves("/usr/bin/tcsh").await;
}

#[tokio::test]
async fn a_shell_that_prints_on_its_start_is_part_of_the_output_and_of_nothing_else() {
    for (shell, file) in [
        ("/usr/bin/bash", ".bashrc"),
        ("/usr/bin/zsh", ".zshenv"),
        ("/usr/bin/fish", ".config/fish/config.fish"),
        ("/usr/bin/tcsh", ".tcshrc"),
    ] {
        let sshd = Sshd::builder().login_shell(shell).start();
        let file = sshd.dir().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "echo welcome\n").unwrap();
        let mut session = connect(&sshd).await;
        let ran = run(&mut session, "echo out; exit 4").await;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(said, "welcome\nout\n", "{shell}");
        assert_eq!(ran.end, Some(Event::Exited(4)), "{shell}");
        let mut running = session.exec("sleep 86201; echo never").await.unwrap();
        assert_eq!(running.next().await, Event::Stdout("welcome\n".into()));
        let grace = Duration::from_secs(5);
        let (found, ran) = tokio::join!(super::end(&mut session, grace), drain(&mut running));
        assert_eq!(found.left, Left::Nothing, "{shell}");
        assert_eq!(ran.stdout, b"", "{shell}");
    }
}
