//! (b) Ten thousand hosts: one script on each, 4,000 of them at once.

use super::Found;
use super::harness::client::Client;
use super::harness::sshd::{Kind, keygen};
use super::memory::{MIB, Memory, cpu_ms, forget_peak, open_files};
use super::plot::Plot;
use super::report::Row;
use super::server::{self, Server};
use super::simulated::{Machines, STAY};
use rustix::process::{Resource, getrlimit};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const AT_ONCE: usize = 4_000;
/// Descriptors that a connection has in the server, and those that are not connections.
const EACH: u64 = 2;
const OTHERS: u64 = 500;
/// Long enough that 4,000 are there before the first one ends.
const SECONDS: u64 = 20;
/// Requests that are under way at once.
const REQUESTS: usize = 32;
/// What no size may take longer than.
const DEADLINE: Duration = Duration::from_secs(240);

struct Step {
    hosts: usize,
    cost: f64,
    peak: f64,
    files: usize,
    seconds: f64,
}

pub async fn measure() -> Found {
    let keys = TempDir::new().expect("a temporary directory");
    let (identity, host_key) = (keys.path().join("client"), keys.path().join("host"));
    keygen(&identity, Kind::Ed25519, "RFC4716", "");
    keygen(&host_key, Kind::Ed25519, "RFC4716", "");
    let machines = Machines::start(&host_key);
    let may = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let at_once = AT_ONCE.min((may.saturating_sub(OTHERS) / EACH) as usize);
    println!("(b) hosts, {at_once} at once; processor ms a task; peak MiB; most descriptors; s");
    let mut steps = Vec::new();
    for hosts in SIZES {
        let step = step(hosts, at_once, machines.port, &identity).await;
        println!(
            "    {:6} {:6.2} {:6.0} {:6} {:6.1}",
            step.hosts, step.cost, step.peak, step.files, step.seconds
        );
        steps.push(step);
    }
    drop(machines);
    told(&steps, at_once)
}

/// A server of its own, so that nothing is left over from the size before.
async fn step(hosts: usize, at_once: usize, port: u16, identity: &Path) -> Step {
    let config = format!("[engine]\nmax_running = {at_once}\n[ssh]\npool_idle = 0\n");
    let server = Server::start(&config, Some(identity));
    let client = server.client();
    let instances = all(hosts, |number| {
        let (number, client) = (number as u32, client.clone());
        let address = std::net::Ipv4Addr::from(0x7f02_0000 + number + 1);
        let body = serde_json::json!({"ip": address.to_string(), "port": port});
        async move {
            let reply = client.post("/wsexec/instances", &body).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            reply.json()["instance"]["id"].as_i64().expect("an id")
        }
    })
    .await;
    forget_peak(server.pid());
    let cpu = cpu_ms(server.pid());
    let began = Instant::now();
    let script = format!("{STAY}{SECONDS}");
    all(hosts, |number| {
        let (client, instance, script) = (client.clone(), instances[number], script.clone());
        async move { server::post(&client, instance, &script).await }
    })
    .await;
    let mut files = 0;
    while unended(&client).await {
        files = files.max(open_files(server.pid()));
        assert!(
            began.elapsed() < DEADLINE,
            "not all of {hosts} hosts are done"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cost = (cpu_ms(server.pid()) - cpu) / hosts as f64;
    let peak = Memory::of(server.pid()).peak as f64 / MIB;
    let failed = client
        .get("/wsexec/tasks?state=ABORT&limit=1&output=none")
        .await;
    let failed = failed.json();
    let failed = failed["tasks"].as_array().expect("a list");
    assert!(failed.is_empty(), "{failed:#?}");
    Step {
        hosts,
        cost,
        peak,
        files,
        seconds,
    }
}

async fn unended(client: &Client) -> bool {
    for state in ["INIT", "CURRENT"] {
        let path = format!("/wsexec/tasks?state={state}&limit=1&output=none");
        let reply = client.get(&path).await;
        let tasks = reply.json();
        if tasks["tasks"].as_array().is_some_and(|it| !it.is_empty()) {
            return true;
        }
    }
    false
}

/// Does something so many times, a few at once; the answers in their order.
async fn all<F>(count: usize, mut one: impl FnMut(usize) -> F) -> Vec<i64>
where
    F: Future<Output = i64> + Send + 'static,
{
    let (mut running, mut answers) = (JoinSet::new(), vec![0; count]);
    let mut next = 0;
    while next < count || !running.is_empty() {
        if next < count && running.len() < REQUESTS {
            let (number, answer) = (next, one(next));
            running.spawn(async move { (number, answer.await) });
            next += 1;
            continue;
        }
        if let Some(done) = running.join_next().await {
            let (number, answer) = done.expect("it is answered");
            answers[number] = answer;
        }
    }
    answers
}

fn told(steps: &[Step], at_once: usize) -> Found {
    let (first, last) = (steps.first().expect("some"), steps.last().expect("some"));
    let growth = last.cost / first.cost;
    let rows = vec![
        Row {
            figure: "b  10,000 hosts, the server's peak of resident memory",
            goal: "under 1 GiB",
            seen: format!(
                "{:.0} MiB, {at_once} connections at once, {:.0} s",
                last.peak, last.seconds
            ),
            met: last.peak < 1024.0,
        },
        Row {
            figure: "b  cost of a task, 10,000 hosts against 100",
            goal: "flat: at most 1.25",
            seen: format!(
                "{growth:.2}; {:.2} ms of {:.2} ms of processor time",
                last.cost, first.cost
            ),
            met: growth <= 1.25,
        },
    ];
    let plot = |title, unit, goal, of: fn(&Step) -> f64| Plot {
        title,
        x: "hosts",
        unit,
        points: steps.iter().map(|it| (it.hosts as f64, of(it))).collect(),
        goal,
    };
    let mut text = format!(
        "## Hosts\n\nOne script on each host, which takes {SECONDS} s; {at_once} connections at once, each a new \
         one, and the rest as places come free.\n\n\
         | hosts | processor time a task | peak of resident memory | most descriptors | all of it |\n\
         | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for it in steps {
        let _ = writeln!(
            text,
            "| {} | {:.2} ms | {:.0} MiB | {} | {:.1} s |",
            it.hosts, it.cost, it.peak, it.files, it.seconds
        );
    }
    Found {
        rows,
        plots: vec![
            plot("Processor time a task", "ms", None, |it| it.cost),
            plot("Peak of resident memory", "MiB", Some(1024.0), |it| it.peak),
        ],
        text,
    }
}
