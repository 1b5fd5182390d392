use crate::harness::app::{Process, program};
use crate::harness::process::Said;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Runs the program in an empty directory.
async fn said(arguments: &[&str]) -> Said {
    let home = TempDir::new().unwrap();
    Process::spawn(program(home.path()).args(arguments))
        .said()
        .await
}

#[tokio::test]
async fn help_and_version_are_no_failures() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["run", "--help"],
    ] {
        let said = said(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}");
        assert!(!said.stdout.is_empty() && said.stderr.is_empty());
    }
}

#[tokio::test]
async fn bad_usage_is_2_and_125_for_run() {
    for arguments in [
        &[][..],
        &["nothing"],
        &["serve", "--nothing"],
        &["serve", "--listen", "here"],
        &["serve", "--ssh-host-keys", "off"],
        &["user", "add", "a", "--role", "king"],
        &["user"],
    ] {
        let said = said(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}");
        assert!(!said.stderr.is_empty() && said.stdout.is_empty());
    }
    for arguments in [&["run"][..], &["run", "-t", "a:b", "-i", "1"]] {
        assert_eq!(said(arguments).await.code, Some(125), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_flag_wins_over_a_variable_and_that_over_the_file() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("wsexec.toml"), "data = \"by-file\"").unwrap();
    for (arguments, variable, wins) in [
        (&["--data", "by-flag"][..], "by-variable", "by-flag"),
        (&[], "by-variable", "by-variable"),
        (&[], "", "by-file"),
    ] {
        let mut command = program(home.path());
        command.arg("check").args(arguments);
        let said = Process::spawn(command.env("WSEXEC_DATA", variable))
            .said()
            .await;
        let store = format!("store: {wins} is not there");
        assert!(said.text().contains(&store), "{}", said.text());
    }
}

#[tokio::test]
async fn an_unknown_key_is_named_and_nothing_starts() {
    let home = TempDir::new().unwrap();
    fs::write(
        home.path().join("wsexec.toml"),
        "[http]\nlisten = \"127.0.0.1:0\"\nlistne = 1",
    )
    .unwrap();
    let said = Process::spawn(program(home.path()).arg("serve"))
        .said()
        .await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("listne"), "{}", said.stderr);
    assert!(!home.path().join("data").exists());
}

#[tokio::test]
async fn a_file_that_others_may_write_is_refused() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("wsexec.toml");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let said = Process::spawn(program(home.path()).arg("serve"))
        .said()
        .await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("wsexec.toml is refused"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn a_file_that_is_named_has_to_be_there() {
    let said = said(&["serve", "--config", "not-there.toml"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("not-there.toml"), "{}", said.stderr);
}
