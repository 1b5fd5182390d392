//! (c) Accepted POSTs per second, each on disk before its answer, to an instance whose places are
//! all taken.

use super::disk;
use super::harness;
use super::report::{Row, median, span};
use super::server::{self, Server, look};
use super::wrk::Load;

const CONNECTIONS: usize = 50;
const SECONDS: u64 = 5;
const ROUNDS: usize = 5;

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("[engine]\nmax_per_instance = 1\n", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let first = server::post(&client, instance, "sleep 600").await;
    server::wait_for(&client, first, &["CURRENT"]).await;

    println!("(c) POST per second (p99), fdatasync per second, ratio");
    let (mut rates, mut syncs, mut accepted, mut p99s) = (Vec::new(), Vec::new(), 0, Vec::new());
    for _ in 0..ROUNDS {
        let sync = disk::syncs_per_second(&server.path("data"));
        let load = Load {
            url: format!("{}/wsexec/tasks", server.url()),
            connections: CONNECTIONS,
            seconds: SECONDS,
            login: ("admin", &server.password()),
            body: Some(server::task(instance, "true").to_string()),
        };
        let seen = load.run(&server.path("")).await;
        assert_eq!(seen.bad, 0, "{seen:?}");
        println!(
            "    {:6.0} ({:5.1} ms) {sync:6.0} {:5.2}",
            seen.per_second,
            seen.p99_ms,
            seen.per_second / sync
        );
        rates.push(seen.per_second);
        syncs.push(sync);
        p99s.push(seen.p99_ms);
        accepted += seen.good;
    }
    // Ids begin at 1 and none is left out: what was answered with 201 is there.
    let reply = client
        .get("/wsexec/tasks?output=none&order=desc&limit=1")
        .await;
    let kept = reply.json()["tasks"][0]["id"].as_u64().expect("an id");
    assert!(kept > accepted, "{kept} are kept of {accepted} accepted");
    assert_eq!(look(&client, first).await["state"], "CURRENT");
    let (low, high) = span(&rates);
    let (rate, sync, p99) = (median(rates), median(syncs), median(p99s));
    vec![Row {
        figure: "c  POSTs accepted, on disk, 50 connections",
        goal: "2,000/s",
        seen: format!(
            "{rate:.0}/s ({low:.0} to {high:.0}), p99 {p99:.1} ms; {:.1} of the disk's {sync:.0} syncs/s",
            rate / sync
        ),
        met: rate >= 2000.0,
    }]
}
