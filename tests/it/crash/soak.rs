//! A long day in short: all that clients do, over and over, leaves nothing behind.

use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::effort::effort;
use crate::harness::people::{Person, viewer};
use crate::harness::process::DEADLINE;
use crate::harness::sshd::{Sshd, user};
use crate::ui::visitor::Visitor;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How much more memory may be resident at the end than after the warm-up, in KiB: what the
/// allocator keeps varies by some MiB.
const GROWTH: u64 = 16 * 1024;
const CLIENTS: usize = 6;
/// The runtime's threads for blocking work end after 10 s without any. Who asks more often keeps all
/// of them, as each gets its turn.
const IDLE: Duration = Duration::from_secs(12);

/// What the process holds.
#[derive(Debug)]
struct Held {
    /// In KiB.
    memory: u64,
    descriptors: usize,
    threads: usize,
    spawned: u64,
}

impl Held {
    async fn by(app: &App) -> Self {
        let reply = app.client().get("/metrics").await;
        let spawned = reply
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("wsexec_spawned ")?.parse().ok());
        let threads = format!("/proc/{}/task", app.pid());
        Self {
            memory: app.rss_kib(),
            descriptors: app.open_files(),
            threads: fs::read_dir(threads).expect("it runs").count(),
            spawned: spawned.expect("a figure"),
        }
    }

    /// What it comes to hold when nobody asks for anything: no more than this, or what it is when
    /// that does not come to be.
    async fn at_rest(app: &App, most: Option<&Self>) -> Self {
        let begun = Instant::now();
        loop {
            sleep(IDLE).await;
            let held = Self::by(app).await;
            let is_little = |most: &Self| {
                held.descriptors <= most.descriptors
                    && held.threads <= most.threads
                    && held.spawned <= most.spawned
            };
            if most.is_none_or(is_little) || begun.elapsed() > DEADLINE {
                return held;
            }
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let memory = self.memory as f64 / 1024.0;
        let Self {
            descriptors,
            threads,
            spawned,
            ..
        } = self;
        write!(
            f,
            "{memory:.1} MiB, {descriptors} descriptors, {threads} threads, {spawned} spawned"
        )
    }
}

/// One client's round: a run that is followed by its events, a cancel, a detached run, lists, a
/// login to the pages that ends again.
async fn round(app: &App, client: &Client, person: &Person, instance: i64) -> usize {
    let task = |script: &str, mode: &str| json!({"name": "soak", "instance": instance, "user": user(), "script": script, "mode": mode});
    let post = async |task: Value| {
        let reply = client.post("/wsexec/tasks", &task).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["task"]["id"].as_i64().expect("an id")
    };
    let id = post(task("seq 1000; sleep 0.1; echo over >&2", "attached")).await;
    let events = client.get(&format!("/wsexec/tasks/{id}/events")).await;
    assert!(events.text().contains("event: end"), "{}", events.text());
    // Whoever watches may go at any time.
    let id = post(task("exec sleep 30", "attached")).await;
    let path = format!("/wsexec/tasks/{id}");
    let watching = client
        .request(Method::GET, &format!("{path}/events"))
        .send();
    let watching = watching.await.expect("an answer");
    let reply = client.put(&path, &json!({"state": "ABORT"})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(watching);
    let detached = post(task("echo detached", "detached")).await;
    for id in [id, detached] {
        let reply = client.get(&format!("/wsexec/tasks/{id}?wait=30")).await;
        assert!(
            reply.json()["task"]["outcome"].is_string(),
            "{}",
            reply.text()
        );
    }
    for list in [
        "?limit=50&order=desc",
        "?state=CURRENT",
        "?limit=20&q=seq&output=none",
    ] {
        let reply = client.get(&format!("/wsexec/tasks{list}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let mut visitor = Visitor::of(app);
    let reply = visitor.log_in(&person.name, &person.password, "/").await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    visitor.read("/tasks").await;
    let reply = visitor.submit("/logout", &[]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    3
}

/// Goes on with rounds for so long, and gives how many tasks that were.
async fn rounds(app: &Arc<App>, people: &Arc<Vec<Person>>, instance: i64, time: Duration) -> usize {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (app, people) = (Arc::clone(app), Arc::clone(people));
        clients.spawn(async move {
            let mut tasks = 0;
            while begun.elapsed() < time {
                // Connections come and go, too.
                let client = app.client();
                tasks += round(&app, &client, &people[number], instance).await;
            }
            tasks
        });
    }
    clients.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_of_use_leave_no_memory_descriptors_threads_or_work_behind() {
    let (warm_up, parts, part) = effort(
        (Duration::from_secs(8), 3, Duration::from_secs(6)),
        (Duration::from_secs(60), 10, Duration::from_secs(180)),
    );
    let sshd = Sshd::start();
    let config = "[ssh]\npool_idle = 1\n[log]\nlevel = \"warn\"";
    let builder = App::builder().config(config).identity(sshd.identity());
    let app = builder.start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::add(&app, &format!("person{number}"), viewer()).await);
    }
    let (app, people) = (Arc::new(app), Arc::new(people));
    let mut tasks = rounds(&app, &people, instance, warm_up).await;
    let before = Held::at_rest(&app, None).await;
    println!("figure: soak: after {tasks} tasks, at rest: {before}");
    for _ in 0..parts {
        tasks += rounds(&app, &people, instance, part).await;
        println!(
            "figure: soak: after {tasks} tasks: {}",
            Held::by(&app).await
        );
    }
    let after = Held::at_rest(&app, Some(&before)).await;
    println!("figure: soak: after {tasks} tasks, at rest: {after}");
    assert!(after.memory <= before.memory + GROWTH, "{before} {after}");
    assert!(after.descriptors <= before.descriptors, "{before} {after}");
    assert!(after.threads <= before.threads, "{before} {after}");
    assert!(after.spawned <= before.spawned, "{before} {after}");
}
