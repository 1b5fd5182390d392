//! (b) GET of a task with basic auth, against what nginx serves of the same bytes.

use super::harness;
use super::nginx::Nginx;
use super::report::{Row, median, span};
use super::server::{self, Server};
use super::wrk::{Load, Seen};

const CONNECTIONS: usize = 32;
const SECONDS: u64 = 5;
const ROUNDS: usize = 5;

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let id = server::post(&client, instance, "uname -a; echo some output").await;
    server::wait_for(&client, id, &["DONE"]).await;
    let path = format!("/wsexec/tasks/{id}");
    let nginx = Nginx::start(&server, &path, &client.get(&path).await.body);

    println!("(b) GET per second (p99): wsexec, nginx, ratio");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let our = load(&server, format!("{}{path}", server.url())).await;
        let their = load(&server, format!("{}{path}", nginx.url())).await;
        println!(
            "    {:6.0} ({:4.1} ms) {:6.0} ({:4.1} ms) {:5.2}",
            our.per_second,
            our.p99_ms,
            their.per_second,
            their.p99_ms,
            our.per_second / their.per_second
        );
        ours.push(our);
        theirs.push(their);
    }
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .map(|(our, their)| our.per_second / their.per_second)
        .collect();
    let (low, high) = span(&ratios);
    let ratio = median(ratios);
    let rate = |seen: &[Seen]| median(seen.iter().map(|s| s.per_second).collect());
    let p99 = median(ours.iter().map(|s| s.p99_ms).collect());
    vec![
        Row {
            figure: "b  GET of a task, against nginx",
            goal: "0.25 of it",
            seen: format!(
                "{ratio:.2} ({low:.2} to {high:.2}); {:.0}/s of {:.0}/s",
                rate(&ours),
                rate(&theirs)
            ),
            met: ratio >= 0.25,
        },
        Row {
            figure: "b  its p99 at 32 connections",
            goal: "under 5 ms",
            seen: format!("{p99:.1} ms"),
            met: p99 < 5.0,
        },
    ]
}

async fn load(server: &Server, url: String) -> Seen {
    let load = Load {
        url,
        connections: CONNECTIONS,
        seconds: SECONDS,
        login: ("admin", &server.password()),
        body: None,
    };
    let seen = load.run(&server.path("")).await;
    assert_eq!(seen.bad, 0, "{seen:?}");
    seen
}
