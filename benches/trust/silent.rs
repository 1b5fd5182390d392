//! (d) Servers that take a connection and say nothing: what is left of them after their deadline.

use super::harness::slow::raise_descriptors;
use super::memory::{MIB, Memory, open_files, threads};
use super::report::Row;
use super::server::{self, Server, wait_for};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wsexec::config::{self, SshLibrary};
use wsexec::ssh::{Connector, Target};

const SERVERS: usize = 1000;
/// What may be left of them.
const LEFT: usize = 5;
/// Seconds for the key exchange and the login.
const LOGIN: u64 = 5;
/// For what ended to be gone: the runtime keeps idle threads for 10 s.
const AFTERMATH: Duration = Duration::from_secs(20);

pub async fn measure() -> Vec<Row> {
    raise_descriptors();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    let mut listeners = JoinSet::new();
    listeners.spawn(take_and_say_nothing(listener));
    println!("(d) {SERVERS} servers that take a connection and say nothing for {LOGIN} s");
    vec![
        through_the_server(port).await,
        through_the_seam(port, SshLibrary::Thrussh).await,
        through_the_seam(port, SshLibrary::Russh).await,
    ]
}

/// Holds every connection.
async fn take_and_say_nothing(listener: TcpListener) {
    let mut held = Vec::new();
    loop {
        held.push(listener.accept().await.expect("a connection"));
    }
}

fn host(number: usize) -> String {
    format!("127.1.{}.{}", number / 200, number % 200 + 1)
}

/// Descriptors and threads of the built program.
async fn through_the_server(port: u16) -> Row {
    let config = format!(
        "[ssh]\nlogin_timeout = {LOGIN}\n[engine]\nmax_running = {}\n",
        SERVERS + 100
    );
    let server = Server::start(&config, None);
    let client = server.client();
    let mut instances = Vec::new();
    for number in 0..=SERVERS {
        instances.push(server.declare(&client, &host(number), port).await);
    }
    // One before the count begins, so that what starts with the first task is there.
    let first = server::post(&client, instances[SERVERS], "true").await;
    wait_for(&client, first, &["ABORT"]).await;
    let before = (open_files(server.pid()), threads(server.pid()));
    let memory = Memory::of(server.pid()).resident;

    let mut tasks = Vec::new();
    for instance in &instances[..SERVERS] {
        tasks.push(server::post(&client, *instance, "true").await);
    }
    let mut most = before;
    for id in &tasks {
        most.0 = most.0.max(open_files(server.pid()));
        most.1 = most.1.max(threads(server.pid()));
        let task = wait_for(&client, *id, &["ABORT"]).await;
        assert_eq!(task["outcome"], "unreachable", "{task:#}");
    }
    let after = settled(before, || (open_files(server.pid()), threads(server.pid()))).await;
    let now = Memory::of(server.pid()).resident;
    println!(
        "    the server: {} descriptors and {} threads before, {} and {} at the most, {} and {} \
         after; {:.1} MiB before, {:.1} MiB after",
        before.0,
        before.1,
        most.0,
        most.1,
        after.0,
        after.1,
        memory as f64 / MIB,
        now as f64 / MIB
    );
    Row {
        figure: "d  1,000 silent servers: what is left in the server",
        goal: "within 5",
        seen: format!(
            "{} descriptors of {}, {} threads of {}",
            after.0, most.0, after.1, most.1
        ),
        met: is_back(before, after),
    }
}

/// Descriptors and spawned work where the same code runs in this process: only the runtime itself
/// knows how much is spawned.
async fn through_the_seam(port: u16, library: SshLibrary) -> Row {
    let dir = TempDir::new().expect("a temporary directory");
    let connector = Connector::new(&config::Ssh {
        known_hosts: Some(dir.path().join("known_hosts")),
        login_timeout: LOGIN,
        library,
        ..config::Ssh::default()
    });
    let me = std::process::id();
    // The listener's side of each connection is here too, and stays: it is taken off.
    let (tasks, files) = (spawned(), open_files(me));
    let mut connects = JoinSet::new();
    for number in 0..SERVERS {
        let (connector, target) = (connector.clone(), target(number, port));
        connects.spawn(async move { connector.connect(&target).await.err() });
    }
    let mut most = 0;
    while let Some(ended) = connects.join_next().await {
        most = most.max(spawned());
        ended.expect("no panic").expect("nobody logs in there");
    }
    let after = settled((tasks, files + SERVERS), || (spawned(), open_files(me))).await;
    let left = (
        after.0 - tasks.min(after.0),
        after.1 - (files + SERVERS).min(after.1),
    );
    println!(
        "    {library:?} here: {tasks} pieces of spawned work before, {most} at the most, {} after",
        after.0
    );
    Row {
        figure: match library {
            SshLibrary::Russh => "d  1,000 silent servers: spawned work of russh",
            _ => "d  1,000 silent servers: spawned work of thrussh",
        },
        goal: "within 5",
        seen: format!("{} of {most}, {} descriptors", left.0, left.1),
        met: is_back((tasks, files + SERVERS), after),
    }
}

fn target(number: usize, port: u16) -> Target {
    Target {
        host: host(number),
        port,
        user: "nobody".into(),
        host_key: None,
        revoked: Vec::new(),
        library: None,
        jump: None,
        key: None,
    }
}

/// Pieces of spawned work that live in this runtime.
fn spawned() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

fn is_back(before: (usize, usize), after: (usize, usize)) -> bool {
    after.0 <= before.0 + LEFT && after.1 <= before.1 + LEFT
}

/// What is counted once it is back, or once that takes too long.
async fn settled(before: (usize, usize), count: impl Fn() -> (usize, usize)) -> (usize, usize) {
    let began = Instant::now();
    loop {
        let now = count();
        if is_back(before, now) || began.elapsed() > AFTERMATH {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
