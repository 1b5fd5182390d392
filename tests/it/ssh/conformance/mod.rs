//! What WSEXEC promises of any SSH server, with either library: the same scripts against each
//! server (`servers`), as each user's shell (`shells`) and with each kind of key (`keys`), through
//! HTTPS, so that the whole way is in it.
//!
//! `thrussh` alone does not reach all of them; then the reason has to say what the server offers
//! and what we have. `russh` and `auto` have to reach every one.

mod keys;
mod servers;
mod shells;

use crate::harness::app::{self, App, DEADLINE};
use crate::harness::dropbear::Dropbear;
use crate::harness::sshd::{Sshd, user};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The values of `ssh.library`.
const LIBRARIES: [&str; 3] = ["thrussh", "russh", "auto"];

/// A line, and how often it makes 1 MiB.
const LINE: &str = "0123456789abcde\n";
const MIB: usize = 1024 * 1024 / LINE.len();

/// What thrussh alone makes of it.
#[derive(Debug, Clone, Copy)]
enum Thrussh {
    Serves,
    /// The outcome, and words of the reason.
    Fails(&'static str, &'static [&'static str]),
}

/// A machine, and how it is to be reached.
#[derive(Clone)]
struct Case {
    port: u16,
    user: String,
    app: app::Builder,
    /// What the login shell prints before any script.
    greeting: &'static str,
    thrussh: Thrussh,
}

impl Case {
    /// With the key that the server was made with.
    fn of(sshd: &Sshd) -> Self {
        let app = App::builder().identity(sshd.identity());
        Self::with(sshd.port(), sshd.user(), app)
    }

    fn of_dropbear(dropbear: &Dropbear) -> Self {
        let app = App::builder().identity(dropbear.identity());
        Self::with(dropbear.port(), user(), app)
    }

    fn with(port: u16, user: String, app: app::Builder) -> Self {
        Self {
            port,
            user,
            app,
            greeting: "",
            thrussh: Thrussh::Serves,
        }
    }

    /// thrussh has nothing in common with it. The words are what the server offers, and what
    /// thrussh has.
    fn beyond_thrussh(self, words: &'static [&'static str]) -> Self {
        Self {
            thrussh: Thrussh::Fails("unreachable", words),
            ..self
        }
    }

    /// With each library, the whole list of promises.
    async fn holds(&self) {
        join_all(LIBRARIES.map(|library| self.holds_with(library))).await;
    }

    async fn holds_with(&self, library: &'static str) {
        match self.thrussh {
            Thrussh::Fails(outcome, words) if library == "thrussh" => {
                self.fails(library, outcome, words).await;
            }
            _ => self.serves(library).await,
        }
    }

    async fn start(&self, library: &'static str) -> Bench {
        let toml = format!("[ssh]\nlibrary = \"{library}\"\n[engine]\noutput_limit = 33554432");
        let app = self.app.clone().config(&toml).start().await;
        let instance = app.declare("127.0.0.1", self.port).await;
        Bench {
            app,
            instance,
            library,
            case: self.clone(),
        }
    }

    async fn fails(&self, library: &'static str, outcome: &str, words: &[&str]) {
        let bench = self.start(library).await;
        let task = bench.run("true").await;
        assert_eq!(task["outcome"], outcome, "{library}: {task:#}");
        let reason = task["reason"].as_str().unwrap();
        for word in words {
            assert!(reason.contains(word), "{library}: no {word} in: {reason}");
        }
    }

    async fn serves(&self, library: &'static str) {
        let bench = self.start(library).await;
        bench.tells_both_streams_and_the_exit_code().await;
        bench.tells_a_signal().await;
        bench.brings(MIB).await;
        bench.ends_a_script_for_good().await;
    }
}

/// A server with one library, and the machine declared.
struct Bench {
    app: App,
    instance: i64,
    library: &'static str,
    case: Case,
}

impl Bench {
    async fn run(&self, script: &str) -> Value {
        self.app.run(self.instance, &self.case.user, script).await
    }

    /// What the script is to have written to stdout, as it comes back.
    fn greeted(&self, stdout: &str) -> String {
        format!("{}{stdout}", self.case.greeting)
    }

    async fn tells_both_streams_and_the_exit_code(&self) {
        // tcsh knows no other way to stderr than another shell's.
        let task = self.run("sh -c 'printf out; printf err >&2; exit 7'").await;
        let seen = (&task["stdout"], &task["stderr"], &task["rc"]);
        let expected = (&json!(self.greeted("out")), &json!("err"), &json!(7));
        assert_eq!(seen, expected, "{}: {task:#}", self.library);
        assert_eq!(task["state"], "DONE", "{}: {task:#}", self.library);
    }

    async fn tells_a_signal(&self) {
        let task = self.run("exec sh -c 'kill -KILL $$'").await;
        let seen = (&task["outcome"], &task["signal"], &task["rc"]);
        let expected = (&json!("signalled"), &json!("KILL"), &Value::Null);
        assert_eq!(seen, expected, "{}: {task:#}", self.library);
    }

    /// So many lines come back to the byte.
    async fn brings(&self, lines: usize) {
        // Of another shell, as tcsh makes an end of `yes` by SIGPIPE the script's own.
        let script = format!("sh -c 'yes {} | head -n {lines}'", LINE.trim_end());
        let task = self.run(&script).await;
        assert_eq!(task["rc"], 0, "{}: {}", self.library, task["reason"]);
        let path = format!("/wsexec/tasks/{}/stdout", task["id"]);
        let reply = self.app.client().get(&path).await;
        assert!(
            reply.body == self.greeted(&LINE.repeat(lines)).as_bytes(),
            "{}: {} bytes of stdout",
            self.library,
            reply.body.len()
        );
    }

    /// And leaves alone what runs there beside it.
    async fn ends_a_script_for_good(&self) {
        let neighbour = self.begin(1).await;
        let ended = self.begin(2).await;
        self.end(&ended).await;
        assert!(runs(&neighbour.marker), "{}", self.library);
        self.end(&neighbour).await;
    }

    /// A script that goes on.
    async fn begin(&self, number: u32) -> Lasting {
        // The port tells the tests apart that run at the same time. What is not ended as it should
        // be ends by itself.
        let marker = format!("300.{}{}{number}", self.case.port, self.library.len());
        let script = format!("echo up; sleep {marker} | cat; echo never");
        let task = json!({
            "name": "test", "instance": self.instance, "user": self.case.user, "script": script,
        });
        let id = self.app.post_task(task).await["id"].as_i64().unwrap();
        let up = self.greeted("up\n");
        self.app.wait_until(id, |task| task["stdout"] == up).await;
        // What it prints comes before what it does next.
        let begun = Instant::now();
        while !runs(&marker) {
            assert!(begun.elapsed() < DEADLINE, "{}", self.library);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Lasting { id, marker }
    }

    async fn end(&self, script: &Lasting) {
        let path = format!("/wsexec/tasks/{}", script.id);
        let abort = json!({"state": "ABORT"});
        let reply = self.app.client().put(&path, &abort).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let task = self.app.wait_ended(script.id).await;
        assert_eq!(task["outcome"], "cancelled", "{}: {task:#}", self.library);
        assert!(!runs(&script.marker), "{}: {task:#}", self.library);
        let reason = task["reason"].as_str().unwrap();
        let words = "Nothing of its session is left";
        assert!(reason.contains(words), "{}: {reason}", self.library);
        assert_eq!(task["stdout"], self.greeted("up\n"), "{}", self.library);
    }
}

/// A script that goes on until it is ended.
struct Lasting {
    id: i64,
    /// How long it sleeps, which nothing else on this machine does.
    marker: String,
}

/// Whether `sleep MARKER` runs.
fn runs(marker: &str) -> bool {
    let line = format!("sleep\0{marker}\0");
    let processes = std::fs::read_dir(Path::new("/proc")).unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|cmdline| cmdline == line.as_bytes())
}
