//! (a) Tasks finished per second, from POST to DONE on disk, against a bare thrussh loop that does
//! the same, as often at once, on the same sshd.

use super::bare::Bare;
use super::harness::client::Client;
use super::harness::{self, sshd::user};
use super::memory::cpu_ms;
use super::report::{Row, median, span};
use super::server::{self, Server};
use std::net::Ipv4Addr;
use std::time::Instant;
use tokio::task::JoinSet;

const TASKS: usize = 200;
const HOSTS: usize = 100;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 9;
/// Fewer than the streams of an HTTP/2 connection.
const POSTS_A_CLIENT: usize = 50;

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().address(Ipv4Addr::UNSPECIFIED).start();
    let config = format!("[engine]\nmax_running = {AT_ONCE}\n");
    let server = Server::start(&config, Some(&sshd.identity()));
    let bare = Bare::new(&sshd.identity(), user());
    let clients: Vec<Client> = (0..TASKS / POSTS_A_CLIENT)
        .map(|_| server.client())
        .collect();
    let hosts: Vec<String> = (1..=HOSTS).map(|n| format!("127.0.1.{n}")).collect();
    let mut instances = Vec::new();
    for host in &hosts {
        instances.push(server.declare(&clients[0], host, sshd.port()).await);
    }
    // The first round records host keys and fills caches; it does not count.
    through_wsexec(&clients, &instances).await;
    through_thrussh(&bare, &hosts, sshd.port()).await;

    println!("(a) tasks per second: wsexec, bare thrussh, ratio");
    let me = std::process::id();
    let (server_before, me_before) = (cpu_ms(server.pid()), cpu_ms(me));
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever goes second may find a warmer or a hotter machine: they take turns.
        let (our, their) = if round % 2 == 0 {
            let our = through_wsexec(&clients, &instances).await;
            (our, through_thrussh(&bare, &hosts, sshd.port()).await)
        } else {
            let their = through_thrussh(&bare, &hosts, sshd.port()).await;
            (through_wsexec(&clients, &instances).await, their)
        };
        println!("    {our:6.1} {their:6.1} {:5.2}", our / their);
        ours.push(our);
        theirs.push(their);
        ratios.push(our / their);
    }
    let each = |pid, before| (cpu_ms(pid) - before) / (ROUNDS * TASKS) as f64;
    println!(
        "    processor time a task: {:.2} ms in the server, {:.2} ms here (client and bare loop)",
        each(server.pid(), server_before),
        each(me, me_before)
    );
    let (low, high) = span(&ratios);
    let (our, their, ratio) = (median(ours), median(theirs), median(ratios));
    vec![Row {
        figure: "a  tasks finished, against bare thrussh",
        goal: "0.85 of it",
        seen: format!("{ratio:.2} ({low:.2} to {high:.2}); {our:.0}/s of {their:.0}/s"),
        met: ratio >= 0.85,
    }]
}

async fn through_thrussh(bare: &Bare, hosts: &[String], port: u16) -> f64 {
    let all = (0..TASKS).map(|n| hosts[n % HOSTS].clone()).collect();
    let began = Instant::now();
    bare.run_all(all, port, AT_ONCE).await;
    TASKS as f64 / began.elapsed().as_secs_f64()
}

/// All are posted at once, and each POST is answered when its task's end is on disk.
async fn through_wsexec(clients: &[Client], instances: &[i64]) -> f64 {
    let began = Instant::now();
    let mut posts = JoinSet::new();
    for number in 0..TASKS {
        let client = clients[number % clients.len()].clone();
        let task = server::task(instances[number % HOSTS], "true");
        posts.spawn(async move { client.post("/wsexec/tasks?wait=60", &task).await });
    }
    while let Some(reply) = posts.join_next().await {
        let reply = reply.expect("it is answered");
        assert_eq!(reply.status, 201, "{}", reply.text());
        let task = &reply.json()["task"];
        assert_eq!(task["state"], "DONE", "{task:#}");
        assert_eq!(task["rc"], 0, "{task:#}");
    }
    TASKS as f64 / began.elapsed().as_secs_f64()
}
