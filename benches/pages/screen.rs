//! (c) The first screen of a task that wrote 1 GiB.

use super::harness;
use super::report::{Row, median};
use super::server::{self, Server, wait_for};
use reqwest::Method;
use std::time::Instant;

const SCRIPT: &str = "yes '2026-11-24 12:00:00 INFO  [web-3] GET /orders/4711?page=2 200 in 3.7 ms' | head -c 1073741824";
const TIMES: usize = 100;

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let id = server::post(&client, instance, SCRIPT).await;
    let task = wait_for(&client, id, &["DONE"]).await;
    assert_eq!(task["stdout_bytes"], 1_u64 << 30, "{task:#}");
    let cookie = server.session("admin", &server.password()).await;
    let browser = server.browser(&cookie);
    println!(
        "(c) {TIMES} GETs of the page of a task with 1 GiB of output: median ms, most ms, bytes"
    );
    let mut most = 0.0;
    for (name, path) in [
        ("its end", format!("/tasks/{id}")),
        ("its begin", format!("/tasks/{id}?line=1")),
        ("the middle", format!("/tasks/{id}?line=7000000")),
    ] {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..TIMES {
            let request = browser.request(Method::GET, &path);
            let began = Instant::now();
            let reply = harness::client::send(request.header("accept", "text/html")).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(reply.status, 200, "{}", reply.text());
            bytes = reply.body.len();
        }
        let slowest = times.iter().copied().fold(0.0, f64::max);
        println!(
            "    {name:12} {:6.1} {slowest:6.1} {bytes:7}",
            median(times)
        );
        most = f64::max(most, slowest);
    }
    vec![Row {
        figure: "c  first screen of 1 GiB of output",
        goal: "under 200 ms",
        seen: format!("at most {most:.1} ms"),
        met: most < 200.0,
    }]
}
