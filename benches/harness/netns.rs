//! A network namespace of the benchmark's own, so that nothing else speaks on its loopback and
//! sshd may listen on all of 127.0.0.0/8.

use std::process::{Command, ExitCode};

const INSIDE: &str = "WSEXEC_BENCH_INSIDE";

/// Runs this program again, inside such a namespace where we may make one, and gives its exit
/// code; nothing where we are that second one.
///
/// Temporary files go to the build directory: /tmp may be in memory, and then no disk is measured.
pub fn enter() -> Option<ExitCode> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let me = std::env::current_exe().expect("the path of this program");
    let mut command = if may_unshare() {
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--",
            "sh",
            "-c",
            "ip link set lo up && exec \"$0\" \"$@\"",
        ]);
        command.arg(me);
        command
    } else {
        eprintln!(
            "not root, or no unshare and ip: no network namespace, the usual loopback is used"
        );
        Command::new(me)
    };
    let status = command
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .status()
        .expect("it starts again");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Some(ExitCode::from(code.unwrap_or(1)))
}

fn may_unshare() -> bool {
    Command::new("unshare")
        .args(["--net", "--", "ip", "link", "set", "lo", "up"])
        .output()
        .is_ok_and(|output| output.status.success())
}
