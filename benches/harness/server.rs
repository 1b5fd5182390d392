//! The built program as a user has it: default log level, the log in a file.

use super::app::program;
use super::client::Client;
use super::sshd::{Sshd, user};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What nothing here may take longer than.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// A running `wsexec serve`; stopped when it is dropped.
pub struct Server {
    home: TempDir,
    child: Child,
    address: SocketAddr,
    /// From the start of the process to the line that says that it is ready.
    pub start: Duration,
}

impl Server {
    /// Starts it with an empty store. `config` is TOML.
    pub fn start(config: &str, identity: Option<&Path>) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        fs::write(home.path().join("wsexec.toml"), config).expect("a config file");
        let (child, address, start) = launch(home.path(), identity);
        Self {
            home,
            child,
            address,
            start,
        }
    }

    /// Stops it, and starts it again on what it has.
    pub fn restart(&mut self, identity: Option<&Path>) {
        self.stop();
        (self.child, self.address, self.start) = launch(self.home.path(), identity);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn password(&self) -> String {
        let password =
            fs::read_to_string(self.path("data/admin-password")).expect("a first password");
        password.trim_end().to_owned()
    }

    /// A client that is logged in, with a connection of its own.
    pub fn client(&self) -> Client {
        let login = Some(("admin".to_owned(), self.password()));
        Client::new(self.url(), &self.path("certs/wsexec.crt"), login)
    }

    /// A client that is not logged in.
    pub fn stranger(&self) -> Client {
        Client::new(self.url(), &self.path("certs/wsexec.crt"), None)
    }

    /// The cookie of a new session of the pages.
    pub async fn session(&self, name: &str, password: &str) -> String {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", name), ("password", password)])
            .finish();
        let request = self.stranger().request(reqwest::Method::POST, "/login");
        let request = request
            .header("origin", self.url())
            .header("content-type", "application/x-www-form-urlencoded");
        let reply = super::client::send(request.body(form)).await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        let cookies = reply.headers.get_all("set-cookie").iter();
        let mut cookies = cookies.filter_map(|it| it.to_str().ok()?.split(';').next());
        let cookie = cookies.find(|it| it.starts_with("__Host-wsexec="));
        cookie.expect("a session").to_owned()
    }

    /// A browser in that session, with a connection of its own.
    pub fn browser(&self, cookie: &str) -> Client {
        self.stranger().with_header("cookie", cookie)
    }

    /// Declares an instance and gives its id.
    pub async fn declare(&self, client: &Client, ip: &str, port: u16) -> i64 {
        let body = json!({"ip": ip, "port": port});
        let reply = client.post("/wsexec/instances", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["instance"]["id"].as_i64().expect("an id")
    }

    fn stop(&mut self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        // The second one does not wait for scripts; a large store takes a moment to close.
        for seconds in [1, 20] {
            let _ = kill_process(pid, Signal::TERM);
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(seconds) {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Declares the sshd.
    pub async fn declare_sshd(&self, client: &Client, sshd: &Sshd) -> i64 {
        self.declare(client, "127.0.0.1", sshd.port()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The process, where it listens, and how long it took to be ready.
fn launch(home: &Path, identity: Option<&Path>) -> (Child, SocketAddr, Duration) {
    let log = File::create(home.join("log")).expect("a log file");
    let mut command = program(home);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    if let Some(identity) = identity {
        command.arg("--ssh-identity").arg(identity);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let began = Instant::now();
    let mut child = command.spawn().expect("the built program starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("a line");
    let start = began.elapsed();
    let address = line
        .trim_end()
        .strip_prefix("wsexec ready https://")
        .and_then(|address| address.parse().ok());
    let Some(address) = address else {
        let log = fs::read_to_string(home.join("log")).unwrap_or_default();
        panic!("it does not start: {line}{log}");
    };
    (child, address, start)
}

/// A task to post.
pub fn task(instance: i64, script: &str) -> Value {
    json!({"name": "figure", "instance": instance, "user": user(), "script": script})
}

/// Posts a task and gives its id.
pub async fn post(client: &Client, instance: i64, script: &str) -> i64 {
    let reply = client.post("/wsexec/tasks", &task(instance, script)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["task"]["id"].as_i64().expect("an id")
}

/// A task without its output.
pub async fn look(client: &Client, id: i64) -> Value {
    let path = format!(
        "/wsexec/tasks?output=none&limit=1&order=desc&before={}",
        id + 1
    );
    let reply = client.get(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["tasks"][0].clone()
}

/// Asks for a task, without its output, until it is in one of these states.
pub async fn wait_for(client: &Client, id: i64, states: &[&str]) -> Value {
    let began = Instant::now();
    loop {
        let task = look(client, id).await;
        if states.iter().any(|state| task["state"] == *state) {
            return task;
        }
        assert!(began.elapsed() < DEADLINE, "too late: {task:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
