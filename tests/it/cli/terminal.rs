//! What `wsexec run` shows on a terminal of what others wrote.

use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use std::process::{Command, Output, Stdio};

/// Runs its arguments on a terminal of their own, and copies what they show to its stdout.
const ON_A_TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

/// What drives a terminal: clears it, sets its title, its clipboard, a link, asks it, C1 as UTF-8.
const SCRIPT: &str = r"printf 'a\033[2J\033]0;title\007\033]52;c;ZQ==\033\\\033P1$r\033\\\033c\302\233Kb\tc\n'
printf 'd\033['; sleep 0.3; printf '31me\n' >&2; sleep 0.3; printf '31mf\n'";

fn run(app: &App, instance: i64, user: &str, on_a_terminal: bool) -> Output {
    let own = app.command();
    let mut command = match on_a_terminal {
        false => Command::new(own.get_program()),
        true => {
            let mut command = Command::new("python3");
            command.args(["-c", ON_A_TERMINAL]).arg(own.get_program());
            command
        }
    };
    command.env_clear();
    command.envs(
        own.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .env("PATH", "/usr/bin:/bin")
        .env("WSEXEC_USER", "admin")
        .env("WSEXEC_PASS", app.admin_password())
        .args([
            "run",
            "-t",
            &app.address().to_string(),
            "-i",
            &instance.to_string(),
        ])
        .args(["-u", user, "-c", SCRIPT, "--cacert"])
        .arg(app.certificate())
        .stdin(Stdio::null());
    command.output().expect("python3 is installed")
}

#[tokio::test]
async fn a_terminal_is_not_driven_by_a_script_and_a_pipe_gets_every_byte() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let shown = run(&app, instance, &user(), true);
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(shown.status.success(), "{text}");
    let control = |c: &char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
    assert_eq!(text.chars().find(control), None, "{text:?}");
    for kept in ["aKb\tc", "31me", "\nf"] {
        assert!(text.contains(kept), "{kept}: {text:?}");
    }
    for hidden in ["title", "52;c", "31mf"] {
        assert!(!text.contains(hidden), "{hidden}: {text:?}");
    }

    let piped = run(&app, instance, &user(), false);
    let whole = b"a\x1b[2J\x1b]0;title\x07\x1b]52;c;ZQ==\x1b\\\x1bP1$r\x1b\\\x1bc\xc2\x9bKb\tc\nd\x1b[31mf\n";
    assert_eq!(piped.stdout, whole);
    assert_eq!(piped.stderr, b"31me\n");
}
