//! Wrong passwords, 500 a second, from several addresses: what somebody who is logged in notices.

use super::harness::client::Client;
use super::report::Row;
use super::server::Server;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const PER_SECOND: u32 = 500;
const TIME: Duration = Duration::from_secs(20);
/// Where they come from.
const ADDRESSES: u32 = 50;
/// Between two requests of who is logged in.
const PAUSE: Duration = Duration::from_millis(5);
const GOAL: Duration = Duration::from_millis(50);
/// Ticks a second in /proc (sysconf(3), `_SC_CLK_TCK`).
const TICKS: f64 = 100.0;

pub async fn measure() -> Vec<Row> {
    println!("(flood) {PER_SECOND} wrong passwords a second from {ADDRESSES} addresses");
    let server = Server::start("[log]\nlevel = \"warn\"\n", None);
    let client = server.client();
    assert_eq!(client.get("/wsexec/users/me").await.status, 200);
    let quiet = gets(&client, Duration::from_secs(5)).await;

    let before = cpu(server.pid());
    let began = Instant::now();
    let (seen, answers) = tokio::join!(gets(&client, TIME), flood(&server));
    let elapsed = began.elapsed().as_secs_f64();
    let used = (cpu(server.pid()) - before) / elapsed;
    let per_second = f64::from(answers.values().sum::<u32>()) / elapsed;
    println!(
        "    p99 {:?} without, {:?} with {per_second:.0} wrong passwords a second; answers {answers:?}; \
         the server used {:.0} % of one core",
        p99(&quiet),
        p99(&seen),
        used * 100.0
    );
    vec![
        Row {
            figure: "flood  GET of who is logged in, p99",
            goal: "50 ms",
            seen: format!("{:.1} ms", p99(&seen).as_secs_f64() * 1e3),
            met: p99(&seen) < GOAL && per_second > f64::from(PER_SECOND) * 0.95,
        },
        Row {
            figure: "flood  CPU of the server",
            goal: "2 cores",
            seen: format!("{used:.2} cores"),
            met: used < 2.0,
        },
    ]
}

/// The times of requests in a row.
async fn gets(client: &Client, time: Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let asked = Instant::now();
        let reply = client.get("/wsexec/users/me").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        times.push(asked.elapsed());
        sleep(PAUSE).await;
    }
    times
}

/// How often which status was answered.
async fn flood(server: &Server) -> BTreeMap<u16, u32> {
    let from = |number| Ipv4Addr::from(0x7f00_0300 + number);
    let strangers: Vec<Client> = (1..=ADDRESSES)
        .map(|number| server.stranger().from(from(number).into()))
        .collect();
    let mut guesses = JoinSet::new();
    let mut tick = interval(Duration::from_secs(1) / PER_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < TIME {
        tick.tick().await;
        number += 1;
        let stranger = strangers[number % strangers.len()].clone();
        // Half of them at somebody who is there.
        let name = match number % 2 {
            0 => "admin".to_owned(),
            _ => format!("nobody{number}"),
        };
        guesses.spawn(async move {
            let guess = stranger.with_login(&name, &format!("guess number {number}"));
            guess.get("/wsexec/users/me").await.status
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(status) = guesses.join_next().await {
        *answers.entry(status.expect("no panic")).or_default() += 1;
    }
    answers
}

fn p99(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() * 99 / 100]
}

/// Seconds of CPU that a process has used (proc(5), fields 14 and 15 of `stat`).
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|it| it.parse::<f64>().expect("a number"))
        .sum();
    ticks / TICKS
}
