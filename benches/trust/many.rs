//! (e) 2,000 scripts that run at once, each on a machine of its own: the server's memory, and how
//! fast the API answers meanwhile.

use super::harness::client::Client;
use super::harness::sshd::{Kind, keygen};
use super::memory::{MIB, Memory, cpu_ms};
use super::report::{Row, median};
use super::server::{self, DEADLINE, Server};
use super::simulated::{HOLD, Machines};
use super::wrk::Load;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SCRIPTS: usize = 2000;
const ROUNDS: usize = 5;
const SECONDS: u64 = 5;
const CONNECTIONS: usize = 8;
/// Posts that are under way at once.
const POSTS: usize = 32;

pub async fn measure() -> Vec<Row> {
    let keys = TempDir::new().expect("a temporary directory");
    let (identity, host_key) = (keys.path().join("client"), keys.path().join("host"));
    keygen(&identity, Kind::Ed25519, "RFC4716", "");
    keygen(&host_key, Kind::Ed25519, "RFC4716", "");
    let machines = Machines::start(&host_key);
    let config = format!("[engine]\nmax_running = {}\n", SCRIPTS + 100);
    let server = Server::start(&config, Some(&identity));
    let client = server.client();
    let first = Memory::of(server.pid()).resident;

    let began = Instant::now();
    let ids = post_all(&server, &client, machines.port).await;
    wait_until_all_run(&client).await;
    let up = began.elapsed();
    // Each has said something by now, and that is stored.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "(e) {SCRIPTS} scripts run after {:.1} s, {:.1} s of processor time in the server",
        up.as_secs_f64(),
        cpu_ms(server.pid()) / 1e3
    );

    let mut p99s = Vec::new();
    for round in 0..ROUNDS {
        let path = format!("/wsexec/tasks/{}", ids[round * ids.len() / ROUNDS]);
        let load = Load {
            url: format!("{}{path}", server.url()),
            connections: CONNECTIONS,
            seconds: SECONDS,
            login: ("admin", &server.password()),
            body: None,
        };
        let seen = load.run(&server.path("")).await;
        assert_eq!(seen.bad, 0, "{seen:?}");
        println!(
            "    {:6.0} GET/s, p99 {:5.1} ms",
            seen.per_second, seen.p99_ms
        );
        p99s.push(seen.p99_ms);
    }
    assert_eq!(running(&client).await, SCRIPTS, "none has ended");
    let memory = Memory::of(server.pid());
    let mib = |kib: u64| kib as f64 / MIB;
    let (p99, peak) = (median(p99s), mib(memory.peak));
    println!(
        "    memory: {:.1} MiB before, {:.1} MiB with all of them, {peak:.1} MiB at its peak",
        mib(first),
        mib(memory.resident)
    );
    // First the machines, so that the server has nothing to end.
    drop(machines);
    vec![
        Row {
            figure: "e  2,000 scripts at once: peak of resident memory",
            goal: "under 512 MiB",
            seen: format!("{peak:.0} MiB"),
            met: peak < 512.0,
        },
        Row {
            figure: "e  GET of a task meanwhile, its p99 at 8 connections",
            goal: "under 20 ms",
            seen: format!("{p99:.1} ms"),
            met: p99 < 20.0,
        },
    ]
}

/// One script on each machine; the tasks' ids.
async fn post_all(server: &Server, client: &Client, port: u16) -> Vec<i64> {
    let (mut posts, mut ids) = (JoinSet::new(), Vec::new());
    for number in 0..SCRIPTS {
        if posts.len() == POSTS {
            ids.push(posts.join_next().await.expect("some").expect("no panic"));
        }
        let host = format!("127.1.{}.{}", number / 200, number % 200 + 1);
        let instance = server.declare(client, &host, port).await;
        let client = client.clone();
        posts.spawn(async move { server::post(&client, instance, HOLD).await });
    }
    ids.extend(posts.join_all().await);
    ids
}

async fn wait_until_all_run(client: &Client) {
    let began = Instant::now();
    loop {
        let all = running(client).await;
        if all == SCRIPTS {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{all} run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many scripts have said something and have not ended.
async fn running(client: &Client) -> usize {
    let path = "/wsexec/tasks?output=none&state=CURRENT";
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let tasks = reply.json();
    let tasks = tasks["tasks"].as_array().expect("a list");
    let talks = |task: &&serde_json::Value| task["stdout_bytes"].as_u64() > Some(0);
    tasks.iter().filter(talks).count()
}
