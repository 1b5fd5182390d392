//! A clock of the server that jumps: an hour forward, an hour back. The program has the real one
//! taken away by libfaketime, and its monotonic one left.

use crate::engine::{cancel, is_current, on, post, reason, runs};
use crate::harness::app::{App, Builder, Process};
use crate::harness::client::{Client, send};
use crate::harness::people::{Person, viewer};
use crate::harness::sshd::{Sshd, user};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// What a server takes for the time.
struct Clock {
    dir: TempDir,
    library: PathBuf,
}

impl Clock {
    /// None where libfaketime is not installed; says so.
    fn right() -> Option<Self> {
        let places = ["/usr/lib", "/usr/lib64"].map(Path::new);
        let below = |place: &Path| fs::read_dir(place).into_iter().flatten().flatten();
        let library = places
            .into_iter()
            .flat_map(below)
            .map(|it| it.path().join("faketime/libfaketimeMT.so.1"))
            .find(|it| it.exists());
        let Some(library) = library else {
            eprintln!("skipped: libfaketime is not installed (apt install faketime)");
            return None;
        };
        let dir = TempDir::new().expect("a temporary directory");
        let it = Self { dir, library };
        it.set(0);
        Some(it)
    }

    /// So many seconds before or after the right time, from now on.
    fn set(&self, seconds: i64) {
        // Put in its place in one step: it is read at each look at the clock.
        let new = self.dir.path().join("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("our own directory");
        fs::rename(new, self.dir.path().join("offset")).expect("our own directory");
    }

    fn of(&self, builder: Builder) -> Builder {
        builder
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.dir.path().join("offset"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("not so late")
}

async fn post_with(app: &App, instance: i64, script: &str, more: Value) -> i64 {
    let mut task = json!({"name": "test", "instance": instance, "user": user(), "script": script});
    let fields = task.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    app.post_task(task).await["id"].as_i64().expect("an id")
}

fn assert_in_order(task: &Value) {
    assert!(
        task["start"].is_null() || task["end"].as_i64() >= task["start"].as_i64(),
        "{task:#}"
    );
}

/// Posts with a key, and gives the task's id.
async fn keyed(client: &Client, instance: i64) -> i64 {
    let task = json!({"name": "once", "instance": instance, "user": user(), "script": "true"});
    let request = client.request(Method::POST, "/wsexec/tasks");
    let reply = send(request.header("Idempotency-Key", "once").json(&task)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["task"]["id"].as_i64().expect("an id")
}

async fn assert_trail_is_whole(app: &App) {
    let verify = app
        .command()
        .args(["audit", "verify", "--data"])
        .arg(app.data())
        .spawned();
    let said = verify.said().await;
    assert_eq!(said.code, Some(0), "{} {}", said.text(), said.stderr);
}

trait Spawned {
    fn spawned(&mut self) -> Process;
}

impl Spawned for std::process::Command {
    fn spawned(&mut self) -> Process {
        Process::spawn(self)
    }
}

#[tokio::test]
async fn deadlines_and_ends_do_not_follow_a_clock_that_jumps() {
    let Some(clock) = Clock::right() else { return };
    let sshd = Sshd::start();
    let config = "[engine]\ncancel_grace = 2\nmax_per_instance = 16";
    let (app, instance) = on(&sshd, clock.of(App::builder().config(config))).await;
    let marker = format!("83{}", std::process::id());
    let deaf = format!("trap '' TERM; echo on; while :; do sleep {marker}; done");
    for (from, to) in [(0, HOUR), (HOUR, 0), (0, -HOUR)] {
        clock.set(from);
        let gate = sshd.dir().join(format!("gate{from}{to}"));
        let waits = format!(
            "echo on; until test -e {}; do sleep 0.05; done; echo over",
            gate.display()
        );
        let mut open = Vec::new();
        let mut timed = Vec::new();
        let mut cancelled = Vec::new();
        for mode in ["attached", "detached"] {
            let mode = json!({"mode": mode});
            open.push(post_with(&app, instance, &waits, mode.clone()).await);
            cancelled.push(post_with(&app, instance, &deaf, mode.clone()).await);
            let mut more = mode;
            more["timeout"] = 4.into();
            let posted = Instant::now();
            timed.push((
                posted,
                post_with(&app, instance, &format!("sleep {marker}"), more).await,
            ));
        }
        for id in open.iter().chain(&cancelled) {
            app.wait_until(*id, |task| task["stdout"] == "on\n").await;
        }
        clock.set(to);
        let seen = post(&app, instance, "true").await;
        let created = app.wait_ended(seen).await["created"]
            .as_i64()
            .expect("a time");
        assert!(
            (created - now() - to).abs() < 60,
            "the server has this clock: {created}"
        );
        let told = Instant::now();
        for id in &cancelled {
            assert_eq!(cancel(&app, *id).await.0, 200);
        }
        clock.set(from);
        clock.set(to);
        for id in cancelled {
            let task = app.wait_ended(id).await;
            assert_eq!(task["outcome"], "cancelled", "{task:#}");
            assert!(
                reason(&task).contains("Nothing of its session is left"),
                "{task:#}"
            );
            assert!(
                told.elapsed() >= Duration::from_secs(2),
                "the time between TERM and KILL"
            );
            assert_in_order(&task);
        }
        for (posted, id) in timed {
            let task = app.wait_ended(id).await;
            let took = posted.elapsed();
            assert_eq!(task["outcome"], "timed_out", "{task:#}");
            assert!(took >= Duration::from_secs(4), "{took:?} {task:#}");
            assert_in_order(&task);
            println!(
                "figure: a deadline of 4 s came within {took:?} while the clock went from {from} to {to} s"
            );
        }
        for id in &open {
            let task = app.wait_until(*id, |_| true).await;
            assert!(is_current(&task), "{task:#}");
        }
        fs::write(gate, "").expect("our own directory");
        for id in open {
            let task = app.wait_ended(id).await;
            assert_eq!(task["stdout"], "on\nover\n", "{task:#}");
            assert_in_order(&task);
        }
    }
    assert!(!runs(&format!("sleep\0{marker}")));
    assert_trail_is_whole(&app).await;
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_does_not_wait_longer_where_the_clock_goes_back() {
    let Some(clock) = Clock::right() else { return };
    let sshd = Sshd::start();
    let (mut app, _) = on(&sshd, clock.of(App::builder())).await;
    let nobody = app.declare("127.0.0.1", 1).await;
    for restart in [false, true] {
        let more = json!({"retries": 1, "retry_delay": 6});
        let id = post_with(&app, nobody, "true", more).await;
        app.wait_until(id, |task| task["state"] == "INIT" && task["attempt"] == 1)
            .await;
        if restart {
            app.kill9().await;
        }
        clock.set(if restart { -2 * HOUR } else { -HOUR });
        if restart {
            app.start_again().await;
        }
        let set = Instant::now();
        let task = app.wait_ended(id).await;
        assert_eq!(task["outcome"], "unreachable", "{task:#}");
        assert_in_order(&task);
        println!(
            "figure: a next attempt due in 6 s came within {:?} of the clock's jump back",
            set.elapsed()
        );
    }
}

#[tokio::test]
async fn a_deadline_of_a_detached_run_is_not_put_off_by_a_clock_that_went_back_over_a_restart() {
    let Some(clock) = Clock::right() else { return };
    let sshd = Sshd::start();
    let config = "[engine]\ncancel_grace = 1";
    let (mut app, instance) = on(&sshd, clock.of(App::builder().config(config))).await;
    let marker = format!("84{}", std::process::id());
    let more = json!({"mode": "detached", "timeout": 8});
    let id = post_with(&app, instance, &format!("echo on; sleep {marker}"), more).await;
    app.wait_until(id, |task| task["stdout"] == "on\n").await;
    app.kill9().await;
    clock.set(-HOUR);
    app.start_again().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "timed_out", "{task:#}");
    assert!(
        reason(&task).contains("Nothing of its session is left"),
        "{task:#}"
    );
    assert_in_order(&task);
    assert!(!runs(&format!("sleep\0{marker}")));
}

#[tokio::test]
async fn logins_keys_and_the_trail_outlive_a_jump_and_end_when_their_time_is_over() {
    let Some(clock) = Clock::right() else { return };
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, clock.of(App::builder())).await;
    let person = Person::add(&app, "ann", viewer()).await;
    let (_, session) = person.session(&app).await;
    let life = json!({"name": "ci", "role": "viewer", "expires_in": DAY});
    let (_, token) = person.token(&app, life).await;
    let admin = app.client();
    let first = keyed(&admin, instance).await;
    let me = async |client: &Client| client.get("/wsexec/users/me").await.status;
    for jump in [HOUR, 0, -HOUR, 0] {
        clock.set(jump);
        assert_eq!(me(&session).await, 200, "a session, {jump}");
        assert_eq!(me(&token).await, 200, "a token, {jump}");
        assert_eq!(keyed(&admin, instance).await, first, "{jump}");
        assert_trail_is_whole(&app).await;
    }
    // Idle for 8 hours.
    clock.set(9 * HOUR);
    assert_eq!(me(&session).await, 401);
    // A login that was confirmed in a time to come is asked again for what is dangerous.
    let (_, later) = person.session(&app).await;
    let new = json!({"name": "another", "role": "viewer"});
    assert_eq!(later.post("/wsexec/tokens", &new).await.status, 201);
    clock.set(0);
    let reply = later.get("/wsexec/users/me").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = later.post("/wsexec/tokens", &new).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(
        reply.text().contains("Confirm who you are"),
        "{}",
        reply.text()
    );
    clock.set(DAY + HOUR);
    assert_eq!(me(&token).await, 401, "it has expired");
    assert_ne!(keyed(&admin, instance).await, first, "a day is over");
    app.restart().await;
    clock.set(0);
    assert_trail_is_whole(&app).await;
}
