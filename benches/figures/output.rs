//! (d) Much output from one script, and endless output from many, in bounded memory.

use super::bare::Bare;
use super::harness;
use super::harness::client::Client;
use super::harness::sshd::{Sshd, user};
use super::memory::{MIB, Memory, forget_peak};
use super::report::{Row, median, span};
use super::server::{self, Server, look, wait_for};
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const BYTES: u64 = 1 << 30;
const SCRIPT: &str = "head -c 1073741824 /dev/zero";
const ROUNDS: usize = 3;

/// Scripts that run `yes` all at once.
struct Floods {
    figure: &'static str,
    goal: &'static str,
    scripts: i64,
    time: Duration,
    /// MiB.
    under: f64,
}

const SOME: Floods = Floods {
    figure: "d  peak while 20 scripts run `yes`",
    goal: "under 128 MiB",
    scripts: 20,
    time: Duration::from_secs(10),
    under: 128.0,
};
const MANY: Floods = Floods {
    figure: "g  peak while 100 scripts run `yes` for 60 s",
    goal: "under 256 MiB",
    scripts: 100,
    time: Duration::from_secs(60),
    under: 256.0,
};

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let (server, client, instance) = started(&sshd, &SOME).await;
    let mut rows = one(&server, &client, &sshd, instance).await;
    rows.push(SOME.measure(&server, &client, instance).await);
    rows
}

/// (g)
pub async fn measure_many() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let (server, client, instance) = started(&sshd, &MANY).await;
    println!("(g) {} floods for {:?}", MANY.scripts, MANY.time);
    vec![MANY.measure(&server, &client, instance).await]
}

async fn started(sshd: &Sshd, floods: &Floods) -> (Server, Client, i64) {
    let config = format!("[engine]\nmax_per_instance = {}\n", floods.scripts);
    let server = Server::start(&config, Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, sshd).await;
    (server, client, instance)
}

async fn one(server: &Server, client: &Client, sshd: &Sshd, instance: i64) -> Vec<Row> {
    let bare = Bare::new(&sshd.identity(), user());
    println!("(d) MB/s of 1 GiB: wsexec (peak memory), bare thrussh, ssh");
    let (mut ours, mut theirs, mut sshs, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        forget_peak(server.pid());
        let our = rate(async {
            let id = server::post(client, instance, SCRIPT).await;
            let task = wait_for(client, id, &["DONE", "ABORT"]).await;
            assert_eq!(task["state"], "DONE", "{task:#}");
            assert_eq!(task["stdout_bytes"], BYTES, "{task:#}");
        })
        .await;
        let round_peak = Memory::of(server.pid()).peak as f64 / MIB;
        let their = rate(async {
            assert_eq!(bare.count(sshd.port(), SCRIPT).await, BYTES);
        })
        .await;
        let ssh = rate(through_ssh(sshd)).await;
        println!("    {our:5.0} ({round_peak:5.1} MiB) {their:5.0} {ssh:5.0}");
        ours.push(our);
        theirs.push(their);
        sshs.push(ssh);
        peak = f64::max(peak, round_peak);
    }
    let (low, high) = span(&ours);
    let (our, their, ssh) = (median(ours), median(theirs), median(sshs));
    vec![
        Row {
            figure: "d  1 GiB from one script",
            goal: "200 MB/s",
            seen: format!(
                "{our:.0} MB/s ({low:.0} to {high:.0}); {:.2} of thrussh's {their:.0}, {:.2} of ssh's {ssh:.0}",
                our / their,
                our / ssh
            ),
            met: our >= 200.0,
        },
        Row {
            figure: "d  its peak of resident memory",
            goal: "under 64 MiB",
            seen: format!("{peak:.1} MiB"),
            met: peak < 64.0,
        },
    ]
}

/// 10^6 bytes per second.
async fn rate(run: impl Future<Output = ()>) -> f64 {
    let began = Instant::now();
    run.await;
    BYTES as f64 / 1e6 / began.elapsed().as_secs_f64()
}

async fn through_ssh(sshd: &Sshd) {
    let known = sshd.dir().join("known_hosts");
    let status = Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=accept-new",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(sshd.identity())
        .args([
            "-p",
            &sshd.port().to_string(),
            "-l",
            &user(),
            "127.0.0.1",
            SCRIPT,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .expect("ssh is installed");
    assert!(status.success());
}

impl Floods {
    async fn measure(&self, server: &Server, client: &Client, instance: i64) -> Row {
        forget_peak(server.pid());
        let mut floods = Vec::new();
        for _ in 0..self.scripts {
            floods.push(server::post(client, instance, "yes").await);
        }
        for id in &floods {
            wait_for(client, *id, &["CURRENT"]).await;
        }
        let before = written(client, &floods).await;
        tokio::time::sleep(self.time).await;
        let bytes = written(client, &floods).await - before;
        let began = Instant::now();
        for id in &floods {
            let body = json!({"state": "ABORT"});
            let reply = client.put(&format!("/wsexec/tasks/{id}"), &body).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        for id in &floods {
            let task = wait_for(client, *id, &["ABORT", "DONE"]).await;
            assert_eq!(task["outcome"], "cancelled", "{task:#}");
        }
        let peak = Memory::of(server.pid()).peak as f64 / MIB;
        let rate = bytes as f64 / 1e6 / self.time.as_secs_f64();
        let ended = began.elapsed().as_secs_f64();
        println!(
            "    {} floods: {rate:.0} MB/s in all, peak {peak:.1} MiB, cancelled in {ended:.1} s",
            self.scripts
        );
        Row {
            figure: self.figure,
            goal: self.goal,
            seen: format!("{peak:.1} MiB at {rate:.0} MB/s; cancelled in {ended:.1} s"),
            met: peak < self.under,
        }
    }
}

async fn written(client: &Client, ids: &[i64]) -> u64 {
    let mut bytes = 0;
    for id in ids {
        let task = look(client, *id).await;
        bytes += task["stdout_bytes"].as_u64().expect("a number");
    }
    bytes
}
