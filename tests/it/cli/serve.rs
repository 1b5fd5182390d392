use crate::harness::app::{App, DEADLINE, Process, program};
use crate::harness::client::Client;
use crate::harness::sshd::{self, Sshd};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::UnixDatagram;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_it_makes_is_for_its_owner_alone() {
    let app = App::start().await;
    assert_eq!(mode(&app.data()), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(app.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 3, "store, lock and first password");
    assert_eq!(mode(&app.path("certs/wsexec.key")), 0o600);
}

#[tokio::test]
async fn a_directory_that_lets_others_in_is_refused_where_it_holds_something() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("something"), "").unwrap();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"]] {
        let said = Process::spawn(program(home.path()).args(arguments))
            .said()
            .await;
        assert_eq!(said.code, Some(1), "{arguments:?}");
        assert!(said.stderr.contains("chmod 700"), "{}", said.stderr);
        assert_eq!(mode(&data), 0o755);
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let app = App::start().await;
    let mut second = app.command();
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(app.data());
    let said = Process::spawn(&mut second).said().await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.is_empty());
    assert!(said.stderr.contains("already runs"), "{}", said.stderr);
    assert_eq!(app.client().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let app = App::start().await;
    let home = TempDir::new().unwrap();
    let address = app.address().to_string();
    let said = Process::spawn(program(home.path()).args(["serve", "--listen", &address]))
        .said()
        .await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains(&address), "{}", said.stderr);
}

#[tokio::test]
async fn term_ends_it_well_and_the_data_is_there_again_afterwards() {
    let mut app = App::start().await;
    let id = app.declare("10.0.0.1", 22).await;
    assert_eq!(app.stop().await.code(), Some(0));
    app.restart().await;
    let reply = app.client().get(&format!("/wsexec/instances/{id}")).await;
    assert_eq!(reply.json()["instance"]["ip"], "10.0.0.1");
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_scripts() {
    let sshd = Sshd::start();
    let mut app = App::builder()
        .config("[engine]\nstop_grace = 50\ncancel_grace = 1")
        .identity(sshd.identity())
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app
        .post_task(json!({
            "name": "long", "instance": instance, "user": sshd::user(), "script": "sleep 300",
        }))
        .await;
    let id = task["id"].as_i64().unwrap();
    app.wait_until(id, |task| task["state"] == "CURRENT").await;
    app.signal(Signal::TERM);
    app.wait_stderr("stopping:").await;
    let before = std::time::Instant::now();
    app.signal(Signal::TERM);
    assert_eq!(app.wait_exit().await.code(), Some(0));
    assert!(before.elapsed().as_secs() < 40, "{:?}", before.elapsed());
    app.restart().await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "interrupted", "{task:#}");
}

#[tokio::test]
async fn strict_takes_the_machines_that_the_named_known_hosts_has_and_no_other() {
    let (known, unknown) = (Sshd::start(), Sshd::start());
    let home = TempDir::new().unwrap();
    let file = home.path().join("known_hosts");
    let key = sshd::public_key(&known.host_key(sshd::Kind::Ed25519));
    fs::write(&file, format!("[127.0.0.1]:{} {key}\n", known.port())).unwrap();
    let app = App::builder()
        .known_hosts(&file)
        .argument("--ssh-host-keys")
        .argument("strict")
        .identity(known.identity())
        .start()
        .await;
    for (sshd, outcome) in [(&known, "exited"), (&unknown, "host_key_refused")] {
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        let task = app.run(instance, &sshd::user(), "true").await;
        assert_eq!(task["outcome"], outcome, "{task:#}");
    }
}

#[tokio::test]
async fn clients_and_scripts_that_have_gone_leave_no_file_open() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    app.run(instance, &sshd::user(), "true").await;
    let before = app.open_files();
    for _ in 0..20 {
        // Each client has a connection of its own, which ends with it.
        assert_eq!(app.anonymous().get("/healthz").await.status, 200);
        app.run(instance, &sshd::user(), "true").await;
    }
    let begin = Instant::now();
    // A connection that is kept for the next script may have come.
    while app.open_files() > before + 3 {
        assert!(begin.elapsed() < DEADLINE, "{} files", app.open_files());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_log_can_be_json_and_holds_no_script_output_or_password() {
    let sshd = Sshd::start();
    let mut app = App::builder()
        .config("[log]\nformat = \"json\"\nlevel = \"debug\"")
        .identity(sshd.identity())
        .env("RUST_LOG", "trace")
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app
        .run(instance, &sshd::user(), "echo out-$((6*7)); : in-script")
        .await;
    assert_eq!(task["stdout"], "out-42\n", "{task:#}");
    let wrong = app.as_user("admin", "wrong-password");
    assert_eq!(wrong.get("/wsexec/tasks").await.status, 401);
    app.stop().await;
    let log = app.stderr();
    for secret in [
        "in-script",
        "out-42",
        "wrong-password",
        app.admin_password(),
    ] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.lines().count() > 3);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let target = line["target"].as_str().unwrap_or_default();
        assert!(!target.starts_with("thrussh"), "{line}");
    }
}

/// Between the file of the first password and the user that has it the start can be killed at any
/// time: the next one leaves a way in, and tells it.
#[tokio::test]
async fn a_first_start_that_is_killed_before_its_user_is_kept_locks_nobody_out() {
    let mut app = App::start().await;
    app.stop().await;
    // As a first start finds it, but that a user takes long to be kept.
    let store = rusqlite::Connection::open(app.data().join("wsexec.db")).unwrap();
    let first = app.data().join("admin-password");
    fs::remove_file(&first).unwrap();
    store
        .execute_batch(
            "DELETE FROM users;
             CREATE TRIGGER user_waits AFTER INSERT ON users BEGIN
                 SELECT count(*) FROM sqlite_schema a, sqlite_schema b, sqlite_schema c,
                     sqlite_schema d, sqlite_schema e, sqlite_schema f, sqlite_schema g;
             END",
        )
        .unwrap();
    let serve = |app: &App| {
        let mut command = app.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command
    };
    let mut process = Process::spawn(&mut serve(&app));
    let begin = Instant::now();
    while !fs::read_to_string(&first).is_ok_and(|text| text.ends_with('\n')) {
        assert!(begin.elapsed() < DEADLINE && process.is_running());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(mode(&first), 0o600);
    process.signal(Signal::KILL);
    assert!(process.wait_exit(DEADLINE).await.is_some());
    assert!(process.stdout().is_empty(), "it was not ready");
    let never_counted = fs::read_to_string(&first).unwrap();
    let users: i64 = store
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(users, 0, "it was killed before");
    store.execute_batch("DROP TRIGGER user_waits").unwrap();

    app.start_again().await;
    app.wait_stderr("the first password is in a file").await;
    assert!(app.stderr().contains(&first.display().to_string()));
    assert_ne!(format!("{}\n", app.admin_password()), never_counted);
    assert_eq!(app.client().get("/wsexec/users/me").await.status, 200);
    let stale = app.as_user("admin", never_counted.trim_end());
    assert_eq!(stale.get("/wsexec/users/me").await.status, 401);
}

/// Killed right after the user is kept, the file is there already.
#[tokio::test]
async fn a_first_start_that_is_killed_before_it_is_ready_has_left_the_password_that_counts() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let mut serve = program(home.path());
    serve.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut process = Process::spawn(&mut serve);
    let begin = Instant::now();
    let has_user = || {
        let store = rusqlite::Connection::open(data.join("wsexec.db")).ok()?;
        let count = "SELECT count(*) FROM users";
        store.query_row(count, [], |row| row.get::<_, i64>(0)).ok()
    };
    while !data.join("wsexec.db").exists() || has_user() != Some(1) {
        assert!(begin.elapsed() < DEADLINE && process.is_running());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    process.signal(Signal::KILL);
    process.wait_exit(DEADLINE).await;
    let password = fs::read_to_string(data.join("admin-password")).expect("it is there");
    let mut again = Process::spawn(&mut serve);
    again.wait_ready().await;
    let url = format!("https://{}", again.address());
    let login = Some(("admin".to_owned(), password.trim_end().to_owned()));
    let client = Client::new(url, &home.path().join("certs/wsexec.crt"), login);
    assert_eq!(client.get("/wsexec/users/me").await.status, 200);
}

/// As systemd does it for a unit of `Type=notify`: sd_notify(3).
#[tokio::test]
async fn a_service_manager_is_told_when_it_is_ready_and_how_long_a_stop_may_take() {
    let home = TempDir::new().unwrap();
    let place = home.path().join("manager");
    let manager = UnixDatagram::bind(&place).unwrap();
    let heard = async || {
        let mut message = [0; 512];
        let received = tokio::time::timeout(DEADLINE, manager.recv(&mut message)).await;
        let length = received.expect("a message in time").unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut app = App::builder()
        .config("[engine]\nstop_grace = 7200\ncancel_grace = 60")
        .env("NOTIFY_SOCKET", place)
        .start()
        .await;
    assert_eq!(heard().await, "READY=1\n");
    assert_eq!(app.client().get("/readyz").await.status, 200);
    app.signal(Signal::TERM);
    let said = heard().await;
    let limit = said.strip_prefix("STOPPING=1\nEXTEND_TIMEOUT_USEC=");
    let limit: u64 = limit.expect(&said).trim_end().parse().expect(&said);
    let expected = 7200 + 3 * 60..7200 + 3 * 60 + 90;
    assert!(expected.contains(&(limit / 1_000_000)), "{said}");
    assert_eq!(app.wait_exit().await.code(), Some(0));
}
