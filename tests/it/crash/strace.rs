//! What the server asks of the kernel, seen and spoilt by strace.

use crate::harness::app::{App, DEADLINE};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// It looks at a running server until it is dropped or detached.
pub struct Strace {
    child: Child,
    directory: TempDir,
}

/// A system call that has returned, in seconds since 1970.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// Its arguments, with the paths behind descriptors.
    pub arguments: String,
    pub result: i64,
    pub began: f64,
    pub ended: f64,
}

impl Strace {
    /// Looks at these system calls of all threads of the server; gives none where that is not
    /// allowed here, and says so.
    pub async fn look(app: &App, calls: &str) -> Option<Self> {
        Self::attach(app, &[&format!("trace={calls}")]).await
    }

    /// Has these system calls fail with EIO, each one or as strace's `when` says.
    pub async fn fail(app: &App, calls: &str, when: &str) -> Option<Self> {
        let inject = format!("inject={calls}:error=EIO:when={when}");
        Self::attach(app, &[&format!("trace={calls}"), &inject]).await
    }

    async fn attach(app: &App, expressions: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let said = directory.path().join("said");
        // A file for each thread, so that no line is cut in two by another's.
        let child = Command::new("strace")
            .args(["-ff", "-ttt", "-T", "-yy", "-s", "0"])
            .args(expressions.iter().flat_map(|it| ["-e", it]))
            .arg("-o")
            .arg(directory.path().join("of"))
            .args(["-p", &app.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&said).expect("a file"))
            .spawn();
        let Ok(child) = child else {
            println!("skipped: strace is not there");
            return None;
        };
        let mut strace = Self { child, directory };
        let threads = format!("/proc/{}/task", app.pid());
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            if strace.child.try_wait().expect("a child").is_some() {
                println!("skipped: strace may not look at a process here: {said}");
                return None;
            }
            let threads = std::fs::read_dir(&threads).map_or(0, Iterator::count);
            // It names each thread that it has, or the process and their number.
            let attached =
                said.contains("attached with") || said.matches("attached").count() >= threads;
            if threads > 0 && attached {
                return Some(strace);
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{said}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many system calls have failed by it.
    pub async fn failed(&self, wanted: usize) {
        let begun = Instant::now();
        let failed = || {
            let files = std::fs::read_dir(self.directory.path()).expect("its directory");
            let texts = files.map(|it| std::fs::read_to_string(it.expect("a file").path()));
            let failed = texts.map(|text| text.expect("text").matches("(INJECTED)").count());
            failed.sum::<usize>()
        };
        while failed() < wanted {
            let late = begun.elapsed() > DEADLINE;
            assert!(!late, "{} of {wanted} have failed", failed());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets the server go, and gives what was seen of it, in the order of the ends.
    pub async fn detach(mut self) -> Vec<Call> {
        self.end();
        let mut calls: Vec<Call> = std::fs::read_dir(self.directory.path())
            .expect("its directory")
            .flat_map(|entry| calls(&entry.expect("a file").path()))
            .collect();
        calls.sort_by(|a, b| a.ended.total_cmp(&b.ended));
        calls
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        // What it looks at goes on without it.
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn calls(file: &PathBuf) -> Vec<Call> {
    let text = match file.file_name() {
        Some(name) if name != Path::new("said") => std::fs::read_to_string(file),
        _ => return Vec::new(),
    };
    let text = text.expect("what strace wrote");
    text.lines().filter_map(call).collect()
}

/// `SECONDS NAME(ARGUMENTS) = RESULT ... <DURATION>`; none for what was cut off at either end.
fn call(line: &str) -> Option<Call> {
    let (began, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once('(')?;
    let (arguments, rest) = rest.rsplit_once(") = ")?;
    let result = rest.split([' ', '<']).next()?.parse().ok()?;
    let lasted = rest.rsplit_once('<')?.1.trim_end_matches('>');
    let began: f64 = began.parse().ok()?;
    Some(Call {
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        result,
        began,
        ended: began + lasted.parse::<f64>().ok()?,
    })
}
