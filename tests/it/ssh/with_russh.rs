//! What holds with thrussh, which is tried first, holds with russh alone. How a script is ended with
//! either is in `conformance`: those tests look for processes on this machine by what only one test
//! runs, so that they cannot run twice at once.

use std::process::Command;

/// In a process of its own, as the library is chosen by the environment.
fn again(filter: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([filter, "--skip", "with_russh", "--test-threads", "4"])
        .env("WSEXEC_TEST_SSH_LIBRARY", "russh")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn commands_with_russh() {
    again("ssh::commands");
}

#[test]
fn input_with_russh() {
    again("ssh::input");
}

#[test]
fn host_keys_with_russh() {
    again("ssh::host_keys");
}

#[test]
fn logins_with_russh() {
    again("ssh::login");
}

#[test]
fn misbehaviour_with_russh() {
    again("ssh::misbehaviour");
}
