//! (c) Repeated tasks on one host: over connections that are used again, against a new connection
//! for each.

use super::harness::client::Client;
use super::harness::{self, sshd::Sshd};
use super::report::{Row, median, span};
use super::server::{self, Server};
use std::time::Instant;
use tokio::task::JoinSet;

const TASKS: usize = 200;
const ROUNDS: usize = 7;
/// Fewer than the streams of an HTTP/2 connection.
const POSTS_A_CLIENT: usize = 50;

/// One server, its clients, and the one host.
struct Side {
    server: Server,
    clients: Vec<Client>,
    instance: i64,
}

impl Side {
    async fn start(sshd: &Sshd, config: &str) -> Self {
        let server = Server::start(config, Some(&sshd.identity()));
        let clients: Vec<Client> = (0..TASKS / POSTS_A_CLIENT)
            .map(|_| server.client())
            .collect();
        let instance = server.declare_sshd(&clients[0], sshd).await;
        Self {
            server,
            clients,
            instance,
        }
    }

    /// Tasks per second: all are posted at once, and each POST is answered when its task's end is
    /// on disk.
    async fn round(&self) -> f64 {
        let began = Instant::now();
        let mut posts = JoinSet::new();
        for number in 0..TASKS {
            let client = self.clients[number % self.clients.len()].clone();
            let task = server::task(self.instance, "true");
            posts.spawn(async move { client.post("/wsexec/tasks?wait=60", &task).await });
        }
        while let Some(reply) = posts.join_next().await {
            let reply = reply.expect("it is answered");
            assert_eq!(reply.status, 201, "{}", reply.text());
            let task = &reply.json()["task"];
            assert_eq!(task["rc"], 0, "{task:#}");
        }
        TASKS as f64 / began.elapsed().as_secs_f64()
    }
}

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let pooled = Side::start(&sshd, "").await;
    let new = Side::start(&sshd, "[ssh]\npool_idle = 0\n").await;
    // The first round records the host key and fills caches; it does not count.
    pooled.round().await;
    new.round().await;

    println!("(c) tasks per second on one host: over the pool, new connections, ratio");
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever goes second may find a warmer or a hotter machine: they take turns.
        let (our, their) = if round % 2 == 0 {
            let our = pooled.round().await;
            (our, new.round().await)
        } else {
            let their = new.round().await;
            (pooled.round().await, their)
        };
        println!("    {our:6.1} {their:6.1} {:5.2}", our / their);
        ours.push(our);
        theirs.push(their);
        ratios.push(our / their);
    }
    drop((pooled.server, new.server));
    let (low, high) = span(&ratios);
    let (our, their, ratio) = (median(ours), median(theirs), median(ratios));
    vec![Row {
        figure: "c  repeated tasks on one host, over the pool",
        goal: "3 times new connections",
        seen: format!("{ratio:.2} ({low:.2} to {high:.2}); {our:.0}/s of {their:.0}/s"),
        met: ratio >= 3.0,
    }]
}
