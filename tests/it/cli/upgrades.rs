//! A store of an older program is brought up to date, whichever it was, and nothing of it is lost.

use crate::crash::points::ARMED;
use crate::harness::app::{App, program};
use rusqlite::{Connection, params};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The schema changes, in their order.
fn migrations() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let files = fs::read_dir(directory).expect("the schema changes");
    let mut files: Vec<PathBuf> = files.map(|it| it.expect("a file").path()).collect();
    files.sort();
    let texts = files.iter().map(|it| fs::read_to_string(it).expect("SQL"));
    texts.collect()
}

/// A store as the program with this schema left it, with this hash of admin's password.
fn old_store(file: &Path, schema: usize, hash: &str, tasks: i64) {
    let store = Connection::open(file).expect("a store");
    store
        .execute_batch("PRAGMA journal_mode = WAL; BEGIN")
        .expect("a store");
    for sql in &migrations()[..schema] {
        store.execute_batch(sql).expect("a schema");
    }
    store
        .execute(
            "INSERT INTO users (name, role, password_hash, created) VALUES ('admin', 'admin', ?1, 1700000000)",
            [hash],
        )
        .expect("a user");
    store
        .execute(
            "INSERT INTO instances (ip, tag, state, port, version) VALUES ('192.0.2.1', 'kept', 'ACTIVE', 22, 3)",
            [],
        )
        .expect("an instance");
    store
        .execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
             INSERT INTO tasks (name, tag, instance, script, user, state, outcome, rc, created,
                                created_by, start, \"end\", stdout_bytes)
             SELECT 'task ' || n, 'a tag', 1, 'echo ' || n, 'deploy', 'DONE', 'exited', n % 2,
                    1700000000, 'admin', 1700000001, 1700000002, iif(n = 1, 5, 0) FROM n",
            [tasks],
        )
        .expect("tasks");
    store
        .execute(
            "INSERT INTO output (task, stream, \"offset\", length, at, data) VALUES (1, 1, 0, 5, 0, ?1)",
            params![b"kept\n"],
        )
        .expect("output");
    store
        .pragma_update(None, "user_version", schema as i64)
        .expect("a version");
    store.execute_batch("COMMIT").expect("a store");
}

/// Puts the store of an older program in the place of the one that is there.
fn put_back(app: &App, schema: usize, tasks: i64) {
    let file = app.data().join("wsexec.db");
    let hash: String = Connection::open(&file)
        .expect("the store")
        .query_row(
            "SELECT password_hash FROM users WHERE name = 'admin'",
            [],
            |row| row.get(0),
        )
        .expect("the admin");
    for name in [
        "wsexec.db",
        "wsexec.db-wal",
        "wsexec.db-shm",
        "audit.key",
        "audit.anchor",
    ] {
        let _ = fs::remove_file(app.data().join(name));
    }
    old_store(&file, schema, &hash, tasks);
}

fn version(file: &Path) -> i64 {
    let store = Connection::open(file).expect("a store");
    store
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("a version")
}

#[tokio::test]
async fn the_store_of_each_older_program_is_taken_up_whole_and_kept_as_it_was() {
    let mut app = App::start().await;
    for schema in 1..migrations().len() {
        app.stop().await;
        put_back(&app, schema, 20);
        app.start_again().await;
        let task = app.client().get("/wsexec/tasks/1").await.json();
        let task = &task["task"];
        assert_eq!(
            (&task["name"], &task["rc"], &task["stdout"]),
            (&"task 1".into(), &1.into(), &"kept\n".into()),
            "schema {schema}: {task:#}"
        );
        let all = app
            .client()
            .get("/wsexec/tasks?limit=100&output=none")
            .await
            .json();
        assert_eq!(
            all["tasks"].as_array().map(Vec::len),
            Some(20),
            "schema {schema}"
        );
        let instance = app.client().get("/wsexec/instances/1").await.json();
        assert_eq!(instance["instance"]["tag"], "kept", "schema {schema}");
        let kept = app.data().join(format!("wsexec.db.schema-{schema}"));
        assert_eq!(version(&kept), schema as i64);
        let mode = fs::metadata(&kept).expect("the copy").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&kept).expect("the copy");
        // The next start finds nothing to do.
        app.restart().await;
        assert!(!kept.exists(), "schema {schema}");
        let verified = app
            .command()
            .args(["audit", "verify", "--data"])
            .arg(app.data())
            .output();
        assert!(
            verified.expect("it runs").status.success(),
            "schema {schema}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_that_is_killed_anywhere_is_finished_by_the_next_start() {
    const TASKS: i64 = 60_000;
    let mut app = App::start().await;
    app.stop().await;
    put_back(&app, 1, TASKS);
    for after in [5, 40, 120, 250, 400, 700] {
        let mut child = program(&app.path(""))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(app.data())
            .arg("--tls-cert")
            .arg(app.certificate())
            .arg("--tls-key")
            .arg(app.path("certs/wsexec.key"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        tokio::time::sleep(Duration::from_millis(after)).await;
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }
    app.start_again().await;
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    let whole: (i64, i64) = store
        .query_row("SELECT count(*), sum(rc) FROM tasks", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("tasks");
    assert_eq!(whole, (TASKS, TASKS / 2));
    let found: String = store
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .expect("a look");
    assert_eq!(found, "ok");
    let left = fs::read_dir(app.data()).expect("the directory");
    let left = left.map(|it| {
        it.expect("a file")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let parts: Vec<_> = left
        .filter(|it| it.contains("part") || it.contains("tmp"))
        .collect();
    assert!(parts.is_empty(), "{parts:?} are left");
    let task = app.client().get("/wsexec/tasks/1").await.json();
    assert_eq!(task["task"]["stdout"], "kept\n");
    assert_eq!(
        version(&app.data().join("wsexec.db.schema-1")),
        1,
        "the oldest is kept"
    );
}

#[tokio::test]
async fn an_upgrade_that_dies_at_the_end_of_any_of_its_steps_is_finished_by_the_next_start() {
    let mut app = App::start().await;
    let steps = migrations().len() - 1;
    let at_commits = (1..=steps).map(|step| (format!("upgrade.before_commit:{step}"), step));
    for (point, version_then) in at_commits.chain([("upgrade.copied".to_owned(), 1)]) {
        app.stop().await;
        put_back(&app, 1, 20);
        let mut command = app.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        let died = command.arg(app.data()).env(ARMED, &point).output();
        let died = died.expect("it runs").status;
        assert_eq!(died.signal(), Some(Signal::KILL.as_raw()), "{point}");
        let file = app.data().join("wsexec.db");
        assert_eq!(version(&file), version_then as i64, "{point}");
        app.start_again().await;
        let task = app.client().get("/wsexec/tasks/20").await.json();
        assert_eq!(task["task"]["script"], "echo 20", "{point}");
        assert_eq!(version(&file), migrations().len() as i64, "{point}");
        println!("figure: killed at {point}: nothing lost of 20 tasks");
    }
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_in_plain_words_and_left_alone() {
    let mut app = App::start().await;
    app.stop().await;
    let file = app.data().join("wsexec.db");
    let store = Connection::open(&file).expect("the store");
    store
        .pragma_update(None, "user_version", 999)
        .expect("a version");
    drop(store);
    let before = fs::read(&file).expect("the store");
    let started = app
        .command()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(app.data())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&started.stderr).into_owned();
    assert_eq!(started.status.code(), Some(1), "{told}");
    assert!(
        told.contains("written by a newer wsexec") && told.contains("restore a backup"),
        "{told}"
    );
    assert!(
        before == fs::read(&file).expect("the store"),
        "it is as it was"
    );
}
