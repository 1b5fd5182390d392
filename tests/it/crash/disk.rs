//! A disk that is full, and one that fails.

use super::load::{Load, unended};
use super::strace::Strace;
use crate::engine::located;
use crate::harness::app::App;
use crate::harness::client::{Client, Reply, send};
use crate::harness::effort::effort;
use crate::harness::process::DEADLINE;
use crate::harness::small_disk::SmallDisk;
use crate::harness::sshd::{Sshd, user};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// One server, one machine, and what was posted.
struct Bench {
    app: App,
    sshd: Sshd,
    instance: i64,
    /// The keys of what was acknowledged, and of what was refused.
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Bench {
    async fn start() -> Self {
        let sshd = Sshd::start();
        let config = "[store]\nmin_free = 0\n[log]\nlevel = \"warn\"";
        let builder = App::builder().config(config).identity(sshd.identity());
        let app = builder.start().await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        Self {
            app,
            sshd,
            instance,
            acknowledged: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    fn task(&self, name: &str, script: &str) -> Value {
        json!({"name": name, "instance": self.instance, "user": user(), "script": script})
    }

    /// Posts a task of this name, with the name as its key.
    async fn post(&mut self, name: &str) -> Reply {
        let ran = self.sshd.dir().join("ran");
        let task = self.task(name, &format!("echo {name} >> {}", ran.display()));
        let request = self.app.client().request(Method::POST, "/wsexec/tasks");
        let reply = send(request.header("Idempotency-Key", name).json(&task)).await;
        match reply.status {
            201 => {
                self.refused.remove(name);
                self.acknowledged.insert(name.to_owned());
            }
            503 => {
                assert!(!reply.header("retry-after").is_empty());
                assert_eq!(reply.header("content-type"), "application/problem+json");
                self.refused.insert(name.to_owned());
            }
            _ => panic!("{} {}", reply.status, reply.text()),
        }
        reply
    }

    /// A script that goes on until it is let go, and says much then.
    async fn begin_script(&self) -> i64 {
        let gate = self.sshd.dir().join("gate");
        let script = format!(
            "echo begin; until test -e {}; do sleep 0.05; done; seq 20000; exit 7",
            gate.display()
        );
        let id = self.app.post_task(self.task("runs", &script)).await["id"]
            .as_i64()
            .expect("an id");
        located(&self.app, id).await;
        id
    }

    async fn end_script(&self) {
        fs::write(self.sshd.dir().join("gate"), "").expect("the gate");
        // Its end has come to the server, and cannot be recorded.
        sleep(Duration::from_secs(1)).await;
    }

    /// Posts again what was refused, until it is taken.
    async fn post_refused_again(&mut self) {
        let begun = Instant::now();
        for name in self.refused.clone() {
            while self.post(&name).await.status != 201 {
                assert!(begun.elapsed() < DEADLINE, "it does not recover");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// All that was acknowledged is there, also after a crash, and each ran once.
    async fn assert_nothing_lost(&mut self, running: i64) {
        let ended = self.app.wait_ended(running).await;
        let output: String = (1..=20000).map(|n| format!("{n}\n")).collect();
        assert_eq!(ended["outcome"], "exited", "{:#}", ended["reason"]);
        assert_eq!(ended["rc"], 7);
        assert!(
            ended["stdout"] == format!("begin\n{output}"),
            "its output is whole"
        );
        wait_until_idle(&self.app.client(), &[]).await;
        self.app.kill9().await;
        self.app.start_again().await;
        wait_until_idle(&self.app.client(), &[]).await;
        let list = self
            .app
            .client()
            .get("/wsexec/tasks?output=none")
            .await
            .json();
        let mut names: Vec<&str> = list["tasks"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|task| task["name"].as_str().expect("a name"))
            .filter(|name| *name != "runs")
            .collect();
        names.sort_unstable();
        let acknowledged: Vec<&str> = self.acknowledged.iter().map(String::as_str).collect();
        assert_eq!(names, acknowledged, "each is there, and once");
        let ran = fs::read_to_string(self.sshd.dir().join("ran")).expect("they ran");
        let mut ran: Vec<&str> = ran.lines().collect();
        ran.sort_unstable();
        assert_eq!(ran, acknowledged, "each ran once");
        let store =
            rusqlite::Connection::open(self.app.data().join("wsexec.db")).expect("the store");
        let found: String = store
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .expect("a look");
        assert_eq!(found, "ok");
        let mut audit = self.app.command();
        audit
            .args(["audit", "verify", "--data"])
            .arg(self.app.data());
        assert!(audit.status().expect("it runs").success());
    }
}

/// Waits until nothing waits or runs but this.
async fn wait_until_idle(client: &Client, but: &[i64]) {
    let begun = Instant::now();
    while unended(client).await.iter().any(|id| !but.contains(id)) {
        assert!(begun.elapsed() < DEADLINE, "they do not end");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Room that is left for a few posts, in bytes.
const ROOM: u64 = 256 * 1024;

/// Fills a disk but for a little room.
fn fill(file: &Path) {
    let mut file = fs::File::create(file).expect("a file");
    for block in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
    let length = file.metadata().expect("a length").len();
    file.set_len(length - ROOM).expect("a shorter file");
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_what_was_taken_is_not_lost() {
    let mut bench = Bench::start().await;
    bench.app.stop().await;
    let (data, aside) = (bench.app.data(), bench.app.path("aside"));
    fs::rename(&data, &aside).expect("a directory");
    let Some(disk) = SmallDisk::mount(&data, 64 * 1024) else {
        return;
    };
    let copied = Command::new("cp")
        .arg("-a")
        .arg(aside.join("."))
        .arg(&data)
        .status();
    assert!(copied.expect("cp runs").success());
    bench.app.start_again().await;
    let (mut took, mut refusals) = (0, 0);
    for round in 0..effort(2, 20) {
        let _ = fs::remove_file(bench.sshd.dir().join("gate"));
        let running = bench.begin_script().await;
        let filler = disk.path().join("filler");
        fill(&filler);
        let mut number = 0;
        while bench.post(&format!("full-{round}-{number}")).await.status == 201 {
            number += 1;
            assert!(number < 5000, "it takes more than the disk holds");
        }
        took += number;
        bench.end_script().await;
        for number in 0..10 {
            refusals +=
                usize::from(bench.post(&format!("more-{round}-{number}")).await.status == 503);
        }
        let list = bench.app.client().get("/wsexec/tasks?limit=10").await;
        assert_eq!(list.status, 200, "what is there can be read");
        fs::remove_file(filler).expect("the filler");
        let since = Instant::now();
        bench.post_refused_again().await;
        println!(
            "figure: disk full: {number} taken until it was, then 503; back after {} ms",
            since.elapsed().as_millis()
        );
        bench.assert_nothing_lost(running).await;
    }
    println!(
        "figure: disk full: 0 lost of {took} taken meanwhile, {refusals} refused and posted again"
    );
    bench.app.stop().await;
    drop(disk);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_what_was_taken_is_not_lost() {
    let mut bench = Bench::start().await;
    for calls in ["fdatasync,fsync", "pwrite64", "fdatasync,fsync,pwrite64"] {
        let _ = fs::remove_file(bench.sshd.dir().join("gate"));
        let running = bench.begin_script().await;
        bench.post(&format!("before-{calls}")).await;
        wait_until_idle(&bench.app.client(), &[running]).await;
        let Some(strace) = Strace::fail(&bench.app, calls, "1+").await else {
            return;
        };
        for number in 0..10 {
            let status = bench.post(&format!("{calls}-{number}")).await.status;
            assert_eq!(status, 503, "nothing is taken that is not on disk");
        }
        bench.end_script().await;
        let list = bench.app.client().get("/wsexec/tasks?limit=10").await;
        assert_eq!(list.status, 200, "what is there can be read");
        strace.detach().await;
        let since = Instant::now();
        let refused = bench.refused.len();
        bench.post_refused_again().await;
        println!(
            "figure: {calls} fails: {refused} refused and posted again, back after {} ms",
            since.elapsed().as_millis()
        );
        bench.assert_nothing_lost(running).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_now_and_then_under_load_loses_nothing() {
    let sshd = Sshd::start();
    let builder = App::builder().config("[log]\nlevel = \"warn\"");
    let mut app = builder.identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let load = Load::start(&app, &sshd, instance, 8);
    for (calls, when) in [
        ("fdatasync,fsync", "2+3"),
        ("pwrite64", "5+7"),
        ("pread64", "2+3"),
    ] {
        let Some(strace) = Strace::fail(&app, calls, when).await else {
            return;
        };
        let failures = effort(10, 300);
        strace.failed(failures).await;
        strace.detach().await;
        println!("figure: {calls} failed {failures} times, now and then");
    }
    // While a sync fails, what was taken must be there after a crash.
    let Some(strace) = Strace::fail(&app, "fdatasync,fsync", "1+2").await else {
        return;
    };
    strace.failed(5).await;
    app.kill9().await;
    drop(strace);
    let started = Instant::now();
    app.start_again().await;
    load.moved(&app);
    let figures = load.settle(&app, started).await;
    println!("figure: a disk that fails now and then, then a kill: {figures}");
    figures.assert_right();
}
