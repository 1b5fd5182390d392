//! The disk of the store, down to its last byte.

use super::{wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::client::Reply;
use crate::harness::small_disk::SmallDisk;
use crate::harness::sshd::{Sshd, user};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MIB: u64 = 1024 * 1024;

/// A file that takes what room there is.
struct Filler {
    path: PathBuf,
    file: File,
}

impl Filler {
    fn on(disk: &SmallDisk) -> Self {
        let path = disk.path().join("filler");
        let file = File::create(&path).expect("a file");
        Self { path, file }
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).expect("a file system");
        stat.f_bavail * stat.f_frsize
    }

    /// Leaves exactly so many bytes free, whatever the server writes meanwhile.
    fn leave(&mut self, bytes: u64) {
        let begin = Instant::now();
        while self.free() != bytes {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", self.free());
            let length = self.file.metadata().expect("a file").len();
            let wanted = (length + self.free()).saturating_sub(bytes);
            self.file.set_len(wanted.min(length)).expect("it is cut");
            self.file.seek(SeekFrom::End(0)).expect("its end");
            let more = usize::try_from(wanted.saturating_sub(length)).expect("a size");
            // The server may be faster with the last block: then once more.
            let _ = self.file.write_all(&vec![1; more]);
        }
    }
}

/// A server whose data directory is a disk of so many MiB.
async fn on_small_disk(mut app: App, mebibytes: u32) -> Option<(App, SmallDisk)> {
    app.stop().await;
    let disk = SmallDisk::mount(&app.data(), mebibytes * 1024)?;
    fs::set_permissions(
        disk.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("it is ours alone");
    app.start_again().await;
    Some((app, disk))
}

async fn post(app: &App, task: &Value) -> Reply {
    app.client().post("/wsexec/tasks", task).await
}

/// Posts until nothing is taken any more, and gives what was.
async fn post_until_full(app: &App, task: &Value) -> Vec<i64> {
    let (client, mut taken) = (app.client(), Vec::new());
    loop {
        let reply = client.post("/wsexec/tasks", task).await;
        match reply.status {
            201 => taken.push(reply.json()["task"]["id"].as_i64().expect("an id")),
            503 => {
                assert_ne!(reply.header("retry-after"), "");
                return taken;
            }
            status => panic!("{status}: {}", reply.text()),
        }
        assert!(taken.len() < 5000, "it is never full");
    }
}

#[tokio::test]
async fn at_the_floor_tasks_are_taken_and_a_block_below_they_are_not() {
    const FLOOR: u64 = 16 * MIB;
    let sshd = Sshd::start();
    let config = format!("[store]\nmin_free = {FLOOR}");
    let app = App::builder().config(&config).identity(sshd.identity());
    let Some((mut app, disk)) = on_small_disk(app.start().await, 64).await else {
        return;
    };
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let (begun, gate) = (sshd.dir().join("begun"), sshd.dir().join("gate"));
    let script = format!(
        "touch {}; until test -e {}; do sleep 0.05; done; seq 1 200000; exit 7",
        begun.display(),
        gate.display()
    );
    let task = |script: &str| json!({"name": "test", "instance": instance, "user": user(), "script": script});
    let running = app.post_task(task(&script)).await["id"]
        .as_i64()
        .expect("an id");
    wait_for_file(&begun).await;
    let mut filler = Filler::on(&disk);
    let begin = Instant::now();
    for _ in 0..3 {
        // What the server writes on its own meanwhile may take the last block: then once more.
        loop {
            filler.leave(FLOOR);
            let reply = post(&app, &task("true")).await;
            if reply.status == 201 {
                break;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "{}",
                reply.text()
            );
        }
        filler.leave(FLOOR - 4096);
        let reply = post(&app, &task("true")).await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.header("retry-after"), "60");
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains("nearly full"), "{detail}");
    }
    fs::write(gate, "").expect("a file");
    let ended = app.wait_ended(running).await;
    assert_eq!((&ended["state"], &ended["rc"]), (&json!("DONE"), &json!(7)));
    assert_eq!(ended["stdout_bytes"], 1_288_895, "all of it is kept");
    filler.leave(FLOOR + MIB);
    assert_eq!(post(&app, &task("true")).await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn on_a_full_disk_reads_answer_and_nothing_that_was_acknowledged_is_lost() {
    let sshd = Sshd::start();
    let app = App::builder()
        .config("[store]\nmin_free = 0")
        .identity(sshd.identity());
    let Some((mut app, disk)) = on_small_disk(app.start().await, 48).await else {
        return;
    };
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let first = app.run(instance, &user(), "echo first").await["id"].as_i64();
    let first = format!("/wsexec/tasks/{}", first.expect("an id"));
    let (begun, gate) = (sshd.dir().join("begun"), sshd.dir().join("gate"));
    let script = format!(
        "touch {}; until test -e {}; do sleep 0.05; done; seq 1 300000; exit 7",
        begun.display(),
        gate.display()
    );
    let mut task = json!({"name": "test", "instance": instance, "user": user(), "script": script});
    let running = app.post_task(task.clone()).await["id"]
        .as_i64()
        .expect("an id");
    wait_for_file(&begun).await;
    let mut filler = Filler::on(&disk);
    filler.leave(0);
    task["script"] = json!(format!("true\n#{}", "-".repeat(50_000)));
    let taken = post_until_full(&app, &task).await;
    assert_eq!(filler.free(), 0, "to the last byte");

    // It goes on, and ends, while nothing can be kept.
    fs::write(gate, "").expect("a file");
    for _ in 0..20 {
        let reply = app.client().get(&first).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["task"]["stdout"], "first\n");
        let list = app.client().get("/wsexec/tasks?limit=5&output=none").await;
        assert_eq!(list.status, 200, "{}", list.text());
        assert_eq!(app.anonymous().get("/healthz").await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    drop(filler);
    fs::remove_file(disk.path().join("filler")).expect("it goes");
    task["script"] = json!("true");
    let reply = post(&app, &task).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let ended = app.wait_ended(running).await;
    assert_eq!((&ended["state"], &ended["rc"]), (&json!("DONE"), &json!(7)));
    assert_eq!(ended["stdout_bytes"], 1_988_895, "all of it is kept");
    for id in &taken {
        app.wait_ended(*id).await;
    }
    app.restart().await;
    for id in &taken {
        let reply = app
            .client()
            .get(&format!("/wsexec/tasks/{id}?output=none"))
            .await;
        assert_eq!(reply.json()["task"]["state"], "DONE", "{}", reply.text());
    }
    app.stop().await;
}

/// To remove something is to write it down first.
#[tokio::test]
async fn what_is_not_to_be_kept_makes_room_on_a_full_disk() {
    let config = "[store]\nmin_free = 0\n[retention]\nmax_age = 1\ninterval = 1";
    let app = App::builder().config(config).start().await;
    let Some((mut app, disk)) = on_small_disk(app, 64).await else {
        return;
    };
    let new = json!({"ip": "192.0.2.1", "approval": true});
    let reply = app.client().post("/wsexec/instances", &new).await;
    let instance = reply.json()["instance"]["id"].as_i64().expect("an id");
    // They are there when the disk is full, and are too old only then.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    store
        .busy_timeout(Duration::from_secs(10))
        .expect("it waits");
    let kept = store.unchecked_transaction().expect("a transaction");
    for _ in 0..30 {
        kept.execute(
            "INSERT INTO tasks (name, tag, instance, script, user, state, outcome, rc, created, created_by,
                                start, \"end\", stdout_bytes)
             VALUES ('old', '', ?1, 'true', 'deploy', 'DONE', 'exited', 0, ?2, 'admin', ?2, ?2, 500000)",
            params![instance, now.as_secs() + 12],
        )
        .expect("a task");
        kept.execute(
            "INSERT INTO output (task, stream, \"offset\", length, at, data)
             VALUES (?1, 1, 0, 500000, 0, randomblob(500000))",
            [kept.last_insert_rowid()],
        )
        .expect("output");
    }
    kept.commit().expect("a commit");
    // Else the log has room for more.
    store
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("a checkpoint");
    drop(store);
    let ballast = disk.path().join("ballast");
    assert!(ballast.exists());
    let mut filler = Filler::on(&disk);
    filler.leave(0);
    let script = format!("true\n#{}", "-".repeat(50_000));
    let task = json!({"name": "test", "instance": instance, "user": "deploy", "script": script});
    let taken = post_until_full(&app, &task).await;
    assert_eq!(filler.free(), 0, "to the last byte");
    app.wait_stderr("the ballast is given up").await;
    wait_for(
        || filler.free() > 10 * MIB,
        "more room than the ballast was",
    )
    .await;
    let reply = post(&app, &task).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    for id in taken {
        let reply = app.client().get(&format!("/wsexec/tasks/{id}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    filler.file.set_len(0).expect("it is cut");
    wait_for(|| ballast.exists(), "the ballast").await;

    // It starts on a full disk, too.
    app.stop().await;
    filler.leave(0);
    app.start_again().await;
    assert!(!ballast.exists());
    assert_eq!(app.client().get("/wsexec/tasks?limit=1").await.status, 200);
    app.stop().await;
}
