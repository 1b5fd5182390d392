//! The login shells, for root and for users without rights.

use super::Case;
use crate::harness::sshd::{Builder, Sshd, throwaway_user};

async fn holds_in(shell: &str) {
    Case::of(&Sshd::builder().login_shell(shell).start())
        .holds()
        .await;
    if let Some(user) = throwaway_user(shell) {
        Case::of(&Sshd::builder().user(user).start()).holds().await;
    }
}

#[tokio::test]
async fn dash_as_login_shell() {
    holds_in("/usr/bin/dash").await;
}

#[tokio::test]
async fn bash_as_login_shell() {
    holds_in("/usr/bin/bash").await;
}

#[tokio::test]
async fn zsh_as_login_shell() {
    holds_in("/usr/bin/zsh").await;
}

#[tokio::test]
async fn fish_as_login_shell() {
    holds_in("/usr/bin/fish").await;
}

#[tokio::test]
async fn tcsh_as_login_shell() {
    holds_in("/usr/bin/tcsh").await;
}

/// A shell of this user that reads a file before each script, and that file says something.
async fn holds_after_a_greeting(server: Builder, file: &str) {
    let sshd = server.start();
    std::fs::write(sshd.dir().join(file), "echo welcome\n").unwrap();
    let case = Case {
        greeting: "welcome\n",
        ..Case::of(&sshd)
    };
    case.holds().await;
}

#[tokio::test]
async fn bash_that_prints_on_its_start() {
    let server = Sshd::builder().login_shell("/usr/bin/bash");
    holds_after_a_greeting(server, ".bashrc").await;
}

#[tokio::test]
async fn zsh_that_prints_on_its_start() {
    let server = Sshd::builder().login_shell("/usr/bin/zsh");
    holds_after_a_greeting(server, ".zshenv").await;
}
