//! The built program, running on a free port with a data directory of its own.
//!
//! Nothing of the machine shows through: the home directory is a fresh one, there is no agent, and
//! the environment holds no `WSEXEC_*` but what the test gives.

use super::client::Client;
use super::planted::{self, Planted};
pub use super::process::{DEADLINE, Process, program};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running `wsexec serve`. Stopped when it is dropped: by TERM, then by KILL.
pub struct App {
    home: TempDir,
    setup: Builder,
    process: Option<Process>,
    admin_password: String,
    planted: Vec<Planted>,
}

/// How an [`App`] is to be started.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    config: String,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
}

impl Builder {
    /// TOML that goes into the configuration file, as it stands. What the harness itself sets
    /// (data directory, listening address, certificate) goes by flags and wins.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// A private key to log in with.
    pub fn identity(self, file: impl AsRef<Path>) -> Self {
        self.argument("--ssh-identity")
            .argument(file.as_ref().as_os_str())
    }

    /// Host keys that are trusted.
    pub fn known_hosts(self, file: impl AsRef<Path>) -> Self {
        self.argument("--ssh-known-hosts")
            .argument(file.as_ref().as_os_str())
    }

    /// Any other argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it with a fresh data directory and waits until it takes connections.
    pub async fn start(self) -> App {
        let home = TempDir::new().expect("a temporary directory");
        let mut app = App {
            home,
            setup: self,
            process: None,
            admin_password: String::new(),
            planted: Vec::new(),
        };
        app.launch().await;
        app
    }
}

impl App {
    /// Starts it with nothing but what the harness sets.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To say how it is to be started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn launch(&mut self) {
        let mut config = self.setup.config.clone();
        if cfg!(test) && !config.contains("[log]") {
            // The most talkative: what is said is looked through for secrets at the end.
            config.push_str("[log]\nlevel = \"debug\"\n");
        }
        std::fs::write(self.path("wsexec.toml"), config).expect("a config file");
        let mut process = Process::spawn(
            self.command()
                .arg("serve")
                .args(["--listen", "127.0.0.1:0"])
                .arg("--data")
                .arg(self.data())
                .arg("--tls-cert")
                .arg(self.certificate())
                .arg("--tls-key")
                .arg(self.path("certs/wsexec.key"))
                .arg("--config")
                .arg(self.path("wsexec.toml"))
                .args(&self.setup.arguments),
        );
        process.wait_ready().await;
        self.look_through_log();
        self.process = Some(process);
        if let Ok(password) = std::fs::read_to_string(self.data().join("admin-password")) {
            let password = password.trim_end_matches('\n');
            if password != self.admin_password {
                password.clone_into(&mut self.admin_password);
                self.plant("the first password", password);
            }
        }
    }

    /// The program in the surroundings of this app, for any subcommand. Its own directory is the
    /// app's.
    pub fn command(&self) -> Command {
        let mut command = program(self.home.path());
        command.envs(self.setup.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    /// A path in the directory of this app.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.path("certs/wsexec.crt")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process().address()
    }

    /// `https://ADDR:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// The password of `admin`, as the first start wrote it.
    pub fn admin_password(&self) -> &str {
        &self.admin_password
    }

    /// Tells of a secret that the program is given. At the end neither its log nor its data
    /// directory may hold it.
    pub fn plant(&mut self, name: &str, secret: &str) {
        self.planted.push(Planted::new(name, secret));
    }

    /// Everything that it wrote to stderr until now.
    pub fn stderr(&self) -> String {
        self.process().stderr()
    }

    /// Waits until it has written this to stderr.
    pub async fn wait_stderr(&self, text: &str) {
        let begin = Instant::now();
        while !self.stderr().contains(text) {
            assert!(begin.elapsed() < DEADLINE, "no {text} in {}", self.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Its resident memory, in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("it runs, on Linux");
        status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|l| l.split_whitespace().next()?.parse().ok())
            .expect("VmRSS in kB")
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("it runs, on Linux")
            .count()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Waits for its end, with a deadline.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        self.process
            .as_mut()
            .expect("it was started")
            .wait_exit(DEADLINE)
            .await
            .expect("it ends in time")
    }

    /// Stops it by TERM and gives what became of it.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit().await
    }

    /// Kills it, as a crash would.
    pub async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait_exit().await;
    }

    /// Starts it again on the same data directory, after a stop where it still runs. It has
    /// another port then.
    pub async fn restart(&mut self) {
        if self.process().is_running() {
            self.stop().await;
        }
        self.launch().await;
    }

    /// Another value of a variable of the environment, or none, which counts from the next start
    /// on.
    pub fn set_env(&mut self, name: &str, value: Option<&str>) {
        self.setup.environment.retain(|(known, _)| known != name);
        let value = value.map(|value| (name.to_owned(), value.into()));
        self.setup.environment.extend(value);
    }

    /// Another configuration, which counts from the next start on.
    pub fn configure(&mut self, toml: &str) {
        self.setup.config = format!("{toml}\n");
    }

    /// Starts it again after its end.
    pub async fn start_again(&mut self) {
        self.launch().await;
    }

    /// A client that is logged in as `admin`.
    pub fn client(&self) -> Client {
        self.as_user("admin", &self.admin_password)
    }

    /// A client that shows no login.
    pub fn anonymous(&self) -> Client {
        Client::new(self.url(), &self.certificate(), None)
    }

    /// A client that shows this login.
    pub fn as_user(&self, name: &str, password: &str) -> Client {
        let login = Some((name.to_owned(), password.to_owned()));
        Client::new(self.url(), &self.certificate(), login)
    }

    /// A client that shows no login but this header.
    pub fn with_header(&self, name: &str, value: &str) -> Client {
        self.anonymous().with_header(name, value)
    }

    /// Adds a user, and gives a client that is logged in as it, with its password.
    pub async fn add_user(&self, name: &str, role: &str, scope: &[&str]) -> (Client, String) {
        let password = wsexec::domain::random_token().expose().to_owned();
        let mut command = self.command();
        command.args(["user", "add", name, "--role", role, "--password-stdin"]);
        for rule in scope {
            command.args(["--scope", rule]);
        }
        let said = Process::spawn_with(&mut command, password.as_bytes());
        let said = said.said().await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        (self.as_user(name, &password), password)
    }

    /// Declares an instance and gives its id.
    pub async fn declare(&self, host: &str, port: u16) -> i64 {
        let reply = self
            .client()
            .post("/wsexec/instances", &json!({"ip": host, "port": port}))
            .await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["instance"]["id"].as_i64().expect("an id")
    }

    /// Posts a task and gives it as it was answered.
    pub async fn post_task(&self, task: Value) -> Value {
        self.post_to("/wsexec/tasks", task).await
    }

    /// Runs a script to its end, at most a minute, and gives the task, output and all.
    pub async fn run(&self, instance: i64, user: &str, script: &str) -> Value {
        let task = json!({
            "name": "test", "instance": instance, "user": user, "script": script,
        });
        let task = self.post_to("/wsexec/tasks?wait=60", task).await;
        assert!(has_ended(&task), "too late: {task:#}");
        task
    }

    /// The task, once it has ended.
    pub async fn wait_ended(&self, id: i64) -> Value {
        self.poll(&format!("/wsexec/tasks/{id}?wait=10"), has_ended)
            .await
    }

    /// The task, once the condition holds.
    pub async fn wait_until(&self, id: i64, condition: impl Fn(&Value) -> bool) -> Value {
        self.poll(&format!("/wsexec/tasks/{id}"), condition).await
    }

    async fn post_to(&self, path: &str, task: Value) -> Value {
        let reply = self.client().post(path, &task).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["task"].clone()
    }

    async fn poll(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let client = self.client();
        let begin = Instant::now();
        loop {
            let reply = client.get(path).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let task = reply.json()["task"].clone();
            if condition(&task) {
                return task;
            }
            assert!(begin.elapsed() < DEADLINE, "too late: {task:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn look_through_log(&self) {
        if let Some(process) = &self.process {
            planted::assert_none(&self.planted, "the log", process.stderr().as_bytes());
        }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it was started")
    }
}

fn has_ended(task: &Value) -> bool {
    matches!(task["state"].as_str(), Some("DONE" | "ABORT"))
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.look_through_log();
        self.process = None;
        let keys = ["admin-password", "audit.key"];
        planted::assert_none_below(&self.planted, &self.data(), &keys);
    }
}
