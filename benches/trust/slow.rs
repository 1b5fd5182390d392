//! (f) 2,000 clients that are slow on purpose, and how fast the API answers everybody else meanwhile.

use super::harness;
use super::harness::slow::{Kind, Slow, raise_descriptors};
use super::memory::{MIB, Memory, open_files};
use super::report::{Row, median};
use super::server::{Server, post, wait_for};
use super::wrk::Load;
use std::time::{Duration, Instant};

const OF_EACH: usize = 500;
const ROUNDS: usize = 5;
const SECONDS: u64 = 3;
const CONNECTIONS: usize = 8;
/// Seconds that the server lets each of them: they all come, and are there in every round.
const PATIENCE: u64 = 40;
/// For the last of them to be gone.
const AFTERMATH: Duration = Duration::from_secs(60);
/// What may be left.
const LEFT: usize = 5;

pub async fn measure() -> Vec<Row> {
    raise_descriptors();
    let count = OF_EACH * Kind::ALL.len();
    println!("(f) {count} slow clients");
    let sshd = harness::sshd().start();
    let config = format!(
        "[http]\nhandshake_timeout = {PATIENCE}\nhead_timeout = {PATIENCE}\nbody_timeout = {PATIENCE}\n\
         write_timeout = {PATIENCE}\n"
    );
    let server = Server::start(&config, Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let script = "head -c 12000000 /dev/zero | tr '\\0' x";
    let id = post(&client, instance, script).await;
    wait_for(&client, id, &["DONE"]).await;
    let before = open_files(server.pid());

    let password = server.password();
    let address = server.url().replace("https://", "");
    let slow = Slow::new(
        address.parse().expect("ADDR:PORT"),
        &server.path("certs/wsexec.crt"),
        ("admin", &password),
        &format!("/wsexec/tasks/{id}/stdout"),
    );
    let crowd = slow.crowd(OF_EACH);
    let began = Instant::now();
    while open_files(server.pid()) < before + count {
        assert!(began.elapsed() < AFTERMATH, "they do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("    all there after {:.1} s", began.elapsed().as_secs_f64());
    let mut p99s = Vec::new();
    for _ in 0..ROUNDS {
        let load = Load {
            url: format!("{}/wsexec/users/me", server.url()),
            connections: CONNECTIONS,
            seconds: SECONDS,
            login: ("admin", &password),
            body: None,
        };
        let seen = load.run(&server.path("")).await;
        assert_eq!(seen.bad, 0, "{seen:?}");
        println!(
            "    {:6.0} GET/s, p99 {:5.1} ms, {} files open",
            seen.per_second,
            seen.p99_ms,
            open_files(server.pid())
        );
        p99s.push(seen.p99_ms);
    }
    let resident = Memory::of(server.pid()).peak as f64 / MIB;
    let began = Instant::now();
    let limit = Duration::from_secs(2 * PATIENCE) + AFTERMATH;
    while open_files(server.pid()) > before + LEFT && began.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = open_files(server.pid());
    drop(crowd);
    let p99 = median(p99s);
    vec![
        Row {
            figure: "f  GET while 2,000 slow clients hold a connection each, its p99",
            goal: "under 20 ms",
            seen: format!("{p99:.1} ms; peak {resident:.0} MiB"),
            met: p99 < 20.0,
        },
        Row {
            figure: "f  what is left of them in the server after their deadlines",
            goal: "within 5",
            seen: format!("{left} descriptors, {before} before"),
            met: left <= before + LEFT,
        },
    ]
}
