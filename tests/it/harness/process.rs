//! The built program as a process: what it says is kept, and it ends with the test.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_wsexec");

/// What nothing here may take longer than: long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program with a home of its own and nothing of the machine's configuration.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WSEXEC_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(home)
        .env("HOME", home)
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("RUST_LOG");
    command
}

/// A started program whose stdout and stderr are kept, ended when it is dropped.
pub struct Process {
    child: Child,
    address: Option<SocketAddr>,
    stdout: Kept,
    stderr: Kept,
}

/// What came out of a pipe until now, and the thread that reads it.
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// What a program said until its end.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Everything on stdout.
    pub stdout: Vec<u8>,
    /// Everything on stderr.
    pub stderr: String,
}

impl Said {
    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Process {
    /// Starts it, with nothing on stdin.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, b"")
    }

    /// Starts it with this on stdin, which has to be less than a pipe holds.
    pub fn spawn_with(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        // A program that does not read its stdin may have closed it.
        let _ = child.stdin.take().expect("piped").write_all(input);
        let stdout = keep(child.stdout.take().expect("piped"));
        let stderr = keep(child.stderr.take().expect("piped"));
        Self {
            child,
            address: None,
            stdout,
            stderr,
        }
    }

    /// Waits for the line that says that it takes connections.
    pub async fn wait_ready(&mut self) {
        let line = self
            .wait_stdout(|out| {
                out.lines()
                    .find_map(|l| l.strip_prefix("wsexec ready https://"))
                    .map(str::to_owned)
            })
            .await;
        self.address = Some(line.parse().expect("ADDR:PORT"));
    }

    /// Where it listens, once [`Process::wait_ready`] has seen it.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it is ready")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until what it wrote to stdout holds what is looked for.
    pub async fn wait_stdout<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            // Asked first, so that what it wrote before its end is looked at after its end.
            let ended = !self.is_running();
            if let Some(found) = find(&whole_lines(&self.stdout())) {
                return found;
            }
            assert!(
                !ended && begin.elapsed() < DEADLINE,
                "it {}; stdout: {}\nstderr: {}",
                if ended { "has ended" } else { "is late" },
                self.stdout(),
                self.stderr()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for its end and for all that it said.
    pub async fn said(mut self) -> Said {
        let status = self.wait_exit(DEADLINE).await.expect("it ends in time");
        Said {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: String::from_utf8_lossy(&self.stderr.all()).into_owned(),
        }
    }

    /// Everything that it wrote to stdout until now.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Everything that it wrote to stderr until now.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it has not ended; an ended one that nobody waited for has ended too.
    pub fn is_running(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).is_ok_and(|stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
        })
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() {
            let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
            // It may end between the look and the signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end; none where it is late.
    pub async fn wait_exit(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return Some(status);
            }
            if begin.elapsed() > at_most {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of {}:\n{}", self.child.id(), self.stderr());
        }
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Each further signal makes it more urgent: a test that is over waits for nobody.
        for _ in 0..8 {
            self.signal(Signal::TERM);
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(500) {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(from: impl Read + Send + 'static) -> Kept {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            match from.fill_buf() {
                Ok([]) | Err(_) => return,
                Ok(bytes) => {
                    into.lock().expect("no panic holds it").extend(bytes);
                    let taken = bytes.len();
                    from.consume(taken);
                }
            }
        }
    });
    Kept {
        bytes,
        reader: Some(reader),
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic holds it")).into_owned()
    }

    /// Waits until the other end is closed.
    fn all(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it does not panic");
        }
        self.bytes.lock().expect("no panic holds it").clone()
    }
}

fn whole_lines(text: &str) -> String {
    text.rfind('\n')
        .map_or(String::new(), |end| text[..=end].to_owned())
}
