//! (e) From start to ready with an empty store, and memory at rest.

use super::harness;
use super::memory::{MIB, Memory};
use super::report::{Row, median, span};
use super::server::{self, Server, wait_for};
use std::time::Duration;

const STARTS: usize = 9;
const REST: Duration = Duration::from_secs(10);

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let starts: Vec<f64> = (0..STARTS)
        .map(|_| {
            Server::start("", Some(&sshd.identity()))
                .start
                .as_secs_f64()
                * 1e3
        })
        .collect();
    let (low, high) = span(&starts);
    let start = median(starts);
    println!("(e) {STARTS} first starts: {start:.0} ms ({low:.0} to {high:.0})");

    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let fresh = Memory::of(server.pid());
    let instance = server.declare_sshd(&client, &sshd).await;
    let id = server::post(&client, instance, "uname -a").await;
    wait_for(&client, id, &["DONE"]).await;
    drop(client);
    tokio::time::sleep(REST).await;
    let idle = Memory::of(server.pid());
    let mib = |kib: u64| kib as f64 / MIB;
    println!(
        "    memory: {:.1} MiB when ready, {:.1} MiB at its peak, {:.1} MiB at rest",
        mib(fresh.resident),
        mib(idle.peak),
        mib(idle.resident)
    );
    vec![
        Row {
            figure: "e  start to ready, empty store",
            goal: "under 200 ms",
            seen: format!("{start:.0} ms ({low:.0} to {high:.0})"),
            met: start < 200.0,
        },
        Row {
            figure: "e  resident at rest, after a login and a task",
            goal: "under 32 MiB",
            seen: format!(
                "{:.1} MiB ({:.1} of it heap and stacks)",
                mib(idle.resident),
                mib(idle.anonymous)
            ),
            met: mib(idle.resident) < 32.0,
        },
    ]
}
