use crate::harness::app::{Process, Said, program};
use crate::harness::sshd;
use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// A demo that has said all.
struct Demo {
    process: Process,
    home: TempDir,
}

impl Demo {
    /// In a directory whose name has to be quoted.
    async fn start() -> Self {
        let home = TempDir::with_prefix("it's a ").unwrap();
        let mut command = program(home.path());
        command.arg("demo").env("TMPDIR", home.path());
        let process = Process::spawn(&mut command);
        process
            .wait_stdout(|out| out.contains("Ctrl-C ends the demo").then_some(()))
            .await;
        Self { process, home }
    }

    /// The line that it says to paste.
    fn line(&self) -> String {
        let out = self.process.stdout();
        let mut lines = out.lines().filter(|line| line.starts_with("curl "));
        let line = lines.next().expect("a line to paste").to_owned();
        assert_eq!(lines.next(), None);
        line
    }

    /// The directory that it has made.
    fn made(&self) -> Vec<String> {
        fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

async fn paste(line: &str) -> Said {
    let mut shell = Command::new("sh");
    Process::spawn(shell.args(["-c", line])).said().await
}

#[tokio::test]
async fn its_line_runs_a_script_as_it_stands() {
    let demo = Demo::start().await;
    let said = paste(&demo.line()).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let task = serde_json::from_slice::<Value>(&said.stdout).unwrap()["task"].clone();
    assert_eq!(task["state"], "DONE", "{task:#}");
    assert_eq!(task["user"], sshd::user());
    assert!(task["stdout"].as_str().unwrap().starts_with("Hello from"));
}

#[tokio::test]
async fn no_password_is_on_the_line_and_root_is_warned() {
    let demo = Demo::start().await;
    let directory = demo.home.path().join(&demo.made()[0]);
    let login = fs::read_to_string(directory.join("login")).unwrap();
    let password = login.split_whitespace().last().unwrap();
    assert!(password.len() >= 20);
    assert!(!demo.process.stdout().contains(password));
    assert!(!demo.process.stderr().contains(password));
    let is_root = sshd::user() == "root";
    assert_eq!(demo.process.stderr().contains("as root"), is_root);
}

#[tokio::test]
async fn at_its_end_scripts_and_files_are_gone() {
    for signal in [Signal::INT, Signal::HUP] {
        let demo = Demo::start().await;
        let notes = TempDir::with_prefix("notes").unwrap();
        let file = notes.path().join("pid");
        let script = format!("echo $$ > {}; sleep 300", file.display());
        let line = demo
            .line()
            .replace("?wait=30", "")
            .replace("echo Hello from $(hostname), it is $(date)", &script);
        let said = paste(&line).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let pid = pid_in(&file).await;
        assert!(test_kill_process(pid).is_ok(), "the script runs");

        demo.process.signal(signal);
        let home = demo.home;
        let said = demo.process.said().await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(test_kill_process(pid).is_err(), "the script is gone");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}

async fn pid_in(file: &std::path::Path) -> Pid {
    for _ in 0..2_000 {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n').and_then(|t| t.parse().ok()) {
            return Pid::from_raw(pid).expect("a process id");
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the script does not begin");
}
