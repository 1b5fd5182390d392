//! (a) One short script on each of 100 addresses, and (b) 300 on one host.

use super::bare::Bare;
use super::harness;
use super::harness::client::Client;
use super::harness::sshd::{Sshd, user};
use super::peers::{AT_ONCE, Ground, PEERS, Work};
use super::report::{Row, median, span};
use super::server::{self, Server};
use std::net::Ipv4Addr;
use std::time::Instant;
use tokio::task::JoinSet;

const ADDRESSES: usize = 100;
const ON_ONE: usize = 300;
const ROUNDS: usize = 4;
/// A peer that has taken so many seconds in all is not measured again.
const ENOUGH: f64 = 15.0;
/// Fewer than the streams of an HTTP/2 connection.
const POSTS_A_CLIENT: usize = 75;
const SCRIPT: &str = "true";

/// A WSEXEC server with the hosts.
struct Ours {
    server: Server,
    clients: Vec<Client>,
    instances: Vec<i64>,
}

impl Ours {
    async fn start(sshd: &Sshd, hosts: &[String], config: &str) -> Self {
        let config =
            format!("[engine]\nmax_running = {AT_ONCE}\nmax_per_instance = {AT_ONCE}\n{config}");
        let server = Server::start(&config, Some(&sshd.identity()));
        let count = hosts.len().div_ceil(POSTS_A_CLIENT);
        let clients: Vec<Client> = (0..count).map(|_| server.client()).collect();
        let mut instances: Vec<i64> = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let known = hosts
                .iter()
                .position(|it| it == host)
                .filter(|at| *at < number);
            instances.push(match known {
                Some(at) => instances[at],
                None => server.declare(&clients[0], host, sshd.port()).await,
            });
        }
        Self {
            server,
            clients,
            instances,
        }
    }

    /// Seconds: all are posted at once, and each POST is answered when its task's end is on disk.
    async fn round(&self) -> f64 {
        let began = Instant::now();
        let mut posts = JoinSet::new();
        for (number, instance) in self.instances.iter().enumerate() {
            let client = self.clients[number % self.clients.len()].clone();
            let task = server::task(*instance, SCRIPT);
            posts.spawn(async move { client.post("/wsexec/tasks?wait=60", &task).await });
        }
        while let Some(reply) = posts.join_next().await {
            let reply = reply.expect("it is answered");
            assert_eq!(reply.status, 201, "{}", reply.text());
            assert_eq!(reply.json()["task"]["rc"], 0, "{}", reply.text());
        }
        began.elapsed().as_secs_f64()
    }
}

/// What was measured of one: seconds in the rounds that it took part in, or why not.
#[derive(Default)]
struct Seen {
    seconds: Vec<f64>,
    wrong: Option<String>,
}

impl Seen {
    fn goes_on(&self) -> bool {
        self.wrong.is_none() && self.seconds.iter().sum::<f64>() < ENOUGH
    }

    fn add(&mut self, seconds: Result<f64, String>) {
        match seconds {
            Ok(seconds) => self.seconds.push(seconds),
            Err(why) => self.wrong = Some(why),
        }
    }
}

/// How the one differs from the other.
struct Case {
    /// The library may keep its connections.
    kept: bool,
    /// Which of the names of a peer's figure it is.
    column: usize,
    /// Against the bare loop: with connections that are used again, and with new ones.
    bare: [&'static str; 2],
    goal: (&'static str, f64),
}

pub async fn addresses() -> Vec<Row> {
    let hosts: Vec<String> = (1..=ADDRESSES).map(|n| format!("127.0.1.{n}")).collect();
    let sshd = harness::sshd().address(Ipv4Addr::UNSPECIFIED).start();
    println!("(a) {ADDRESSES} addresses, one `{SCRIPT}` each, {AT_ONCE} at once: tasks per second");
    let case = Case {
        kept: false,
        column: 0,
        bare: [
            "a  against a bare SSH loop (thrussh)",
            "a  the same, a new connection each (pool_idle = 0)",
        ],
        goal: ("at least 0.9 of it", 0.9),
    };
    measure(&sshd, hosts, case).await
}

pub async fn one_host() -> Vec<Row> {
    let hosts = vec!["127.0.0.1".to_owned(); ON_ONE];
    let sshd = harness::sshd().start();
    println!("(b) {ON_ONE} times `{SCRIPT}` on one host, {AT_ONCE} at once: tasks per second");
    let case = Case {
        kept: true,
        column: 1,
        bare: [
            "b  against a bare SSH loop (thrussh), new connections",
            "b  the same, a new connection each (pool_idle = 0)",
        ],
        goal: AHEAD,
    };
    measure(&sshd, hosts, case).await
}

const AHEAD: (&str, f64) = ("ahead", 1.0);

async fn measure(sshd: &Sshd, hosts: Vec<String>, case: Case) -> Vec<Row> {
    let tasks = hosts.len() as f64;
    let ours = Ours::start(sshd, &hosts, "").await;
    let new = Ours::start(sshd, &hosts, "[ssh]\npool_idle = 0\n").await;
    let bare = Bare::new(&sshd.identity(), user());
    let ground = Ground::new(sshd, &hosts);
    let work = Work {
        hosts: hosts.clone(),
        kept: case.kept,
        script: SCRIPT,
    };
    let in_loop = async || {
        let began = Instant::now();
        bare.run_all(hosts.clone(), sshd.port(), AT_ONCE).await;
        began.elapsed().as_secs_f64()
    };
    // The first round records host keys and fills caches; it does not count. A peer that is not
    // there is known by it, and one that is slow has had its warm-up by being so.
    ours.round().await;
    new.round().await;
    in_loop().await;
    let mut peers: Vec<Seen> = PEERS.iter().map(|_| Seen::default()).collect();
    for (peer, seen) in PEERS.iter().zip(&mut peers) {
        let first = peer.run(&ground, &work).await;
        if first.as_ref().is_ok_and(|it| *it < ENOUGH / 2.0) {
            continue;
        }
        seen.add(first);
    }
    let (mut our, mut our_new, mut their_bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our.push(ours.round().await);
        their_bare.push(in_loop().await);
        our_new.push(new.round().await);
        for (peer, seen) in PEERS.iter().zip(&mut peers) {
            if seen.goes_on() {
                seen.add(peer.run(&ground, &work).await);
            }
        }
    }
    drop((ours.server, new.server));
    let rate = |seconds: &[f64]| tasks / median(seconds.to_vec());
    let us = rate(&our);
    println!("    wsexec {us:.0}, new connections {:.0}", rate(&our_new));
    let no_goal = ("stated", 0.0);
    let mut rows = vec![
        against(case.bare[0], case.goal, (&our, &their_bare), tasks),
        against(case.bare[1], no_goal, (&our_new, &their_bare), tasks),
    ];
    for (peer, seen) in PEERS.iter().zip(peers) {
        let figure = peer.figures[case.column];
        rows.push(match seen.wrong {
            Some(why) => {
                println!("    {:14} {why}", peer.name);
                Row {
                    figure,
                    goal: AHEAD.0,
                    seen: why,
                    met: false,
                }
            }
            None => {
                println!("    {:14} {:.0}", peer.name, rate(&seen.seconds));
                against(figure, AHEAD, (&our, &seen.seconds), tasks)
            }
        });
    }
    rows
}

/// The ratio of the medians; its span is of the slowest of one side by the fastest of the other.
fn against(
    figure: &'static str,
    (goal, at_least): (&'static str, f64),
    (our, their): (&[f64], &[f64]),
    tasks: f64,
) -> Row {
    let ((fast, slow), (their_fast, their_slow)) = (span(our), span(their));
    let ratio = median(their.to_vec()) / median(our.to_vec());
    Row {
        figure,
        goal,
        seen: format!(
            "{ratio:.2} ({:.2} to {:.2}); {:.0}/s of {:.0}/s, {} and {} rounds",
            their_fast / slow,
            their_slow / fast,
            tasks / median(our.to_vec()),
            tasks / median(their.to_vec()),
            our.len(),
            their.len(),
        ),
        met: ratio >= at_least,
    }
}
