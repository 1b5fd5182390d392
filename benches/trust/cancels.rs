//! (a) 1,000 cancels, of root's scripts and of another user's: how long until the script's session
//! is empty on the machine. That is looked up from outside, in /proc.

use super::harness::{self, client::Client, sshd::Sshd, sshd::throwaway_user};
use super::report::Row;
use super::server::{self, Server};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CANCELS: usize = 1000;
/// Scripts of each user at once.
const AT_ONCE: usize = 25;
/// `engine.cancel_grace`, in seconds.
const GRACE: u64 = 5;
/// What comes on top of it.
const MORE: u64 = 2;
/// A child and a pipeline; groups of their own, by `timeout` and by `set -m`; one that is deaf.
const SCRIPTS: [&str; 4] = [
    "sleep 9001 & sleep 9001 | cat | cat & wait",
    "timeout 9001 sh -c \"sleep 9001; sleep 9001\"; sleep 9001",
    "set -m; sleep 9001 & sleep 9001 | cat & wait",
    "trap \"\" TERM; sleep 9001 & while :; do sleep 1; done",
];

/// What was seen of one cancel.
struct Seen {
    /// Seconds; none where the session never was empty.
    empty: Option<f64>,
    confirmed: bool,
}

pub async fn measure() -> Vec<Row> {
    let Some(user) = throwaway_user("/bin/bash") else {
        return vec![row(
            "not measured: only root can make another user".into(),
            false,
        )];
    };
    let (root, other) = (harness::sshd().start(), Sshd::builder().user(user).start());
    other.authorize(&root.identity());
    let config = format!("[engine]\nmax_per_instance = {AT_ONCE}\ncancel_grace = {GRACE}\n");
    let server = Server::start(&config, Some(&root.identity()));
    let client = server.client();
    let mut machines = Vec::new();
    for sshd in [&root, &other] {
        let instance = server.declare_sshd(&client, sshd).await;
        machines.push((instance, sshd.user()));
    }
    println!("(a) {CANCELS} cancels, {} at once", 2 * AT_ONCE);
    let mut seen = Vec::new();
    while seen.len() < CANCELS {
        seen.extend(batch(&client, &machines).await);
    }
    drop(server);
    let mut empty: Vec<f64> = seen.iter().filter_map(|it| it.empty).collect();
    empty.sort_by(f64::total_cmp);
    let confirmed = seen.iter().filter(|it| it.confirmed).count();
    let limit = (GRACE + MORE) as f64;
    let in_time = empty.iter().filter(|took| **took <= limit).count();
    let last = empty.last().copied().unwrap_or(f64::NAN);
    let middle = empty.get(empty.len() / 2).copied().unwrap_or(f64::NAN);
    let seen = format!(
        "{in_time} of {CANCELS} (half {middle:.2} s, worst {last:.2} s); {confirmed} confirmed"
    );
    vec![row(seen, in_time == CANCELS)]
}

fn row(seen: String, met: bool) -> Row {
    Row {
        figure: "a  cancels whose session is empty within the grace (5 s) + 2 s",
        goal: "1,000 of 1,000",
        seen,
        met,
    }
}

/// Starts scripts of both users, and when all of them run cancels them all.
async fn batch(client: &Client, machines: &[(i64, String)]) -> Vec<Seen> {
    let mut tasks = Vec::new();
    for number in 0..AT_ONCE {
        for (instance, user) in machines {
            let script = format!("echo $$\n{}", SCRIPTS[number % SCRIPTS.len()]);
            let task =
                json!({"name": "figure", "instance": instance, "user": user, "script": script});
            let reply = client.post("/wsexec/tasks", &task).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            tasks.push(reply.json()["task"]["id"].as_i64().expect("an id"));
        }
    }
    let mut leaders = HashMap::new();
    for id in &tasks {
        leaders.insert(*id, leader(client, *id).await);
    }
    let watched: HashSet<u32> = leaders.values().copied().collect();
    let began = Instant::now();
    let watch = tokio::task::spawn_blocking(move || empty_after(watched, began));
    let mut cancels = JoinSet::new();
    for id in tasks {
        let client = client.clone();
        cancels.spawn(async move {
            let path = format!("/wsexec/tasks/{id}");
            let asked = began.elapsed();
            let reply = client.put(&path, &json!({"state": "ABORT"})).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let reply = client.get(&format!("{path}?wait=60")).await;
            (id, asked, reply.json()["task"].clone())
        });
    }
    let ended = cancels.join_all().await;
    let empty = watch.await.expect("it looks");
    let seen = ended.into_iter().map(|(id, asked, task)| {
        let reason = task["reason"].as_str().unwrap_or_default();
        let confirmed = reason.ends_with("Nothing of its session is left on the instance.");
        if !confirmed {
            println!("    {}: {reason}", task["user"]);
        }
        Seen {
            empty: empty
                .get(&leaders[&id])
                .map(|at| (*at - asked).as_secs_f64()),
            confirmed,
        }
    });
    seen.collect()
}

/// The number of the login shell, which leads the script's session.
async fn leader(client: &Client, id: i64) -> u32 {
    let began = Instant::now();
    loop {
        let reply = client.get(&format!("/wsexec/tasks/{id}/stdout")).await;
        if let Some(pid) = reply.text().lines().next().and_then(|it| it.parse().ok()) {
            return pid;
        }
        assert!(began.elapsed() < server::DEADLINE, "{id} does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When each of these sessions was first seen empty; for as long as a script may take, and more.
fn empty_after(mut watched: HashSet<u32>, began: Instant) -> HashMap<u32, Duration> {
    let mut empty = HashMap::new();
    while !watched.is_empty() && began.elapsed() < Duration::from_secs(60) {
        let now = began.elapsed();
        let alive = sessions();
        watched.retain(|session| {
            let lives = alive.contains(session);
            if !lives {
                empty.insert(*session, now);
            }
            lives
        });
        std::thread::sleep(Duration::from_millis(50));
    }
    empty
}

/// The sessions of all processes that are not dead.
fn sessions() -> HashSet<u32> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    processes.filter_map(|it| session(&it.path())).collect()
}

fn session(process: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(2)?.parse().ok())?
}
