//! Completions and manual pages come from the definition of the command line.

use crate::harness::app::program;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn each_shell_reads_its_completions() {
    let home = TempDir::new().expect("a directory");
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let made = program(home.path())
            .args(["completions", shell])
            .output()
            .expect("it runs");
        assert!(made.status.success(), "{shell}");
        let script = String::from_utf8(made.stdout).expect("text");
        assert!(
            script.contains("backup") && script.contains("retries"),
            "{shell}"
        );
        assert!(
            !script.contains("demo-exec"),
            "{shell}: what is hidden stays so"
        );
        let file = home.path().join(shell);
        fs::write(&file, script).expect("a file");
        let read = Command::new(check)
            .arg("-n")
            .arg(&file)
            .output()
            .expect("the shell");
        assert!(
            read.status.success(),
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
    let wrong = program(home.path())
        .args(["completions", "tcsh"])
        .output()
        .expect("it runs");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("possible values"));
}

#[test]
fn each_command_has_a_manual_page() {
    let home = TempDir::new().expect("a directory");
    let pages = home.path().join("share/man/man1");
    let made = program(home.path())
        .arg("man")
        .arg(&pages)
        .output()
        .expect("it runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let files = fs::read_dir(&pages).expect("the pages");
    let files: BTreeSet<_> = files
        .map(|it| {
            it.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    for name in [
        "wsexec.1",
        "wsexec-serve.1",
        "wsexec-run.1",
        "wsexec-user-add.1",
        "wsexec-restore.1",
    ] {
        assert!(files.contains(name), "{name} in {files:?}");
    }
    assert!(!files.iter().any(|it| it.contains("demo-")), "{files:?}");
    let run = fs::read_to_string(pages.join("wsexec-run.1")).expect("a page");
    assert!(run.starts_with(".ie") || run.contains(".TH"), "{run}");
    assert!(run.contains("exit code is the script"), "{run}");
    // A file in the way.
    let taken = home.path().join("taken");
    fs::write(&taken, "").expect("a file");
    let refused = program(home.path())
        .arg("man")
        .arg(&taken)
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write the manual pages"));
}
