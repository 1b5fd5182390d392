//! (e) Memory at rest, and what each running script adds.

use super::flask::Flask;
use super::harness::sshd::{Kind, keygen, user};
use super::memory::{MIB, Memory, proportional};
use super::peers::{Ground, Work};
use super::report::Row;
use super::server::{self, DEADLINE, Server};
use super::simulated::{HOLD, Machines};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

const SCRIPTS: usize = 500;
/// A process each is much: fewer tell as much.
const PROCESSES: usize = 50;
const REST: Duration = Duration::from_secs(10);
/// Posts that are under way at once.
const POSTS: usize = 32;

const LIBRARIES: [(&str, &str); 2] = [
    ("e  the same, asyncssh in one process", "asyncssh"),
    ("e  the same, paramiko in one process", "paramiko"),
];

pub async fn measure() -> Vec<Row> {
    let keys = TempDir::new().expect("a temporary directory");
    let (identity, host_key) = (keys.path().join("client"), keys.path().join("host"));
    keygen(&identity, Kind::Ed25519, "RFC4716", "");
    keygen(&host_key, Kind::Ed25519, "RFC4716", "");
    let machines = Machines::start(&host_key);
    let hosts: Vec<String> = (0..SCRIPTS)
        .map(|n| format!("127.1.{}.{}", n / 200, n % 200 + 1))
        .collect();
    let ground = Ground::at(machines.port, &identity, &host_key, &hosts);
    let mut rows = ours(&hosts, machines.port, &identity).await;
    let work = Work {
        hosts: hosts.clone(),
        kept: true,
        script: HOLD,
    };
    for (figure, library) in LIBRARIES {
        let seen = held(ground.holder(library, &work), hosts.len()).await;
        rows.push(told(figure, seen));
    }
    rows.push(told(
        "e  the same, a process of ssh each",
        processes(&ground, &hosts).await,
    ));
    let flask = match Flask::start(&identity) {
        Some(flask) => {
            tokio::time::sleep(REST).await;
            let all = proportional(flask.pid()) as f64 / MIB;
            Ok(format!("{all:.1} MiB"))
        }
        None => Err("not installed: scripts/peers installs it".to_owned()),
    };
    rows.push(told("e  at rest, Flask and gunicorn, 3 workers", flask));
    drop(machines);
    rows
}

fn told(figure: &'static str, seen: Result<String, String>) -> Row {
    println!("    {figure}: {}", seen.as_ref().unwrap_or_else(|why| why));
    Row {
        figure,
        goal: "stated",
        met: seen.is_ok(),
        seen: seen.unwrap_or_else(|why| why),
    }
}

/// KiB a script.
fn each(before: u64, after: u64, scripts: usize) -> f64 {
    after.saturating_sub(before) as f64 / scripts as f64
}

async fn ours(hosts: &[String], port: u16, identity: &std::path::Path) -> Vec<Row> {
    let config = format!("[engine]\nmax_running = {}\n", hosts.len() + 100);
    let server = Server::start(&config, Some(identity));
    let client = server.client();
    let mut instances = Vec::new();
    for host in hosts {
        instances.push(server.declare(&client, host, port).await);
    }
    tokio::time::sleep(REST).await;
    let rest = Memory::of(server.pid());
    let mut posts = JoinSet::new();
    for instance in instances {
        if posts.len() == POSTS {
            posts.join_next().await;
        }
        let client = client.clone();
        posts.spawn(async move { server::post(&client, instance, HOLD).await });
    }
    posts.join_all().await;
    let began = Instant::now();
    loop {
        let reply = client.get("/wsexec/tasks?output=none&state=CURRENT").await;
        let tasks = reply.json();
        let tasks = tasks["tasks"].as_array().expect("a list");
        let talk = tasks
            .iter()
            .filter(|it| it["stdout_bytes"].as_u64() > Some(0));
        if talk.count() == hosts.len() {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "not all of them run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let with = Memory::of(server.pid());
    let script = each(rest.resident, with.resident, hosts.len());
    let mib = rest.resident as f64 / MIB;
    println!(
        "(e) at rest {mib:.1} MiB, a script {script:.0} KiB of {}",
        hosts.len()
    );
    vec![
        Row {
            figure: "e  resident at rest, wsexec",
            goal: "under 32 MiB",
            seen: format!(
                "{mib:.1} MiB ({:.1} of it heap and stacks)",
                rest.anonymous as f64 / MIB
            ),
            met: mib < 32.0,
        },
        Row {
            figure: "e  per running script, wsexec",
            goal: "under 100 KiB",
            seen: format!("{script:.0} KiB, {} at once", hosts.len()),
            met: script < 100.0,
        },
    ]
}

/// A library's process that holds them all.
async fn held(mut command: Command, scripts: usize) -> Result<String, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let child = command.kill_on_drop(true).spawn();
    let mut child = child.map_err(|_| "not installed: scripts/peers installs it".to_owned())?;
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = timeout(Duration::from_secs(120), lines.next_line()).await;
    match line {
        Ok(Ok(Some(line))) if line == "held" => {}
        Ok(_) => return Err("not installed, or it failed: scripts/peers installs it".to_owned()),
        Err(_) => return Err("not done after 120 s".to_owned()),
    }
    let all = proportional(child.id().expect("it runs"));
    let _ = child.kill().await;
    Ok(format!(
        "{:.0} KiB, its interpreter and all divided by {scripts} ({:.0} MiB)",
        each(0, all, scripts),
        all as f64 / MIB
    ))
}

async fn processes(ground: &Ground, hosts: &[String]) -> Result<String, String> {
    let mut children: Vec<Child> = Vec::new();
    for host in &hosts[..PROCESSES] {
        let child = Command::new("ssh")
            .args(ground.ssh_options())
            .args(["-l", &user(), host, HOLD])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        children.push(child.map_err(|_| "ssh is not installed".to_owned())?);
    }
    for child in &mut children {
        let mut lines = BufReader::new(child.stdout.as_mut().expect("piped")).lines();
        let line = timeout(Duration::from_secs(60), lines.next_line()).await;
        if !matches!(line, Ok(Ok(Some(_)))) {
            return Err("ssh did not get through".to_owned());
        }
    }
    let all: u64 = children
        .iter()
        .filter_map(Child::id)
        .map(proportional)
        .sum();
    Ok(format!(
        "{:.0} KiB, {PROCESSES} at once",
        each(0, all, PROCESSES)
    ))
}
