//! A store that is not what it was: damaged, cut short, or in a place that would damage it.

use crate::harness::app::{App, DEADLINE, Process, program};
use crate::harness::client::Client;
use crate::harness::effort::effort;
use crate::harness::process::Said;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PAGE: u64 = 4096;

/// A server with something in its store, stopped, and a backup of it.
async fn stopped() -> (App, PathBuf) {
    let mut app = App::start().await;
    for number in 0..200 {
        app.declare(&format!("10.0.0.{number}"), 22).await;
    }
    let backup = app.path("backup.db");
    let said = said(&app, &["backup", backup.to_str().expect("a path")]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    app.stop().await;
    (app, backup)
}

async fn said(app: &App, arguments: &[&str]) -> Said {
    let mut command = app.command();
    command.args(arguments).arg("--data").arg(app.data());
    Process::spawn(&mut command).said().await
}

fn store(app: &App) -> PathBuf {
    app.data().join("wsexec.db")
}

/// `wsexec check` has to say of the store what is wrong and what to do.
async fn assert_told(app: &App) {
    let said = said(app, &["check"]).await;
    assert_eq!(said.code, Some(1), "{}", said.text());
    let line = said.text();
    let line = line.lines().find(|it| it.starts_with("FAIL store: "));
    let line = line.expect("the store is told").to_owned();
    assert!(line.contains("is damaged"), "{line}");
    assert!(line.contains("wsexec restore"), "{line}");
}

/// As `wsexec check` says.
async fn assert_restored(app: &mut App, backup: &Path) {
    for file in ["wsexec.db", "wsexec.db-wal", "wsexec.db-shm"] {
        let _ = fs::rename(app.data().join(file), app.path(file));
    }
    let said = said(app, &["restore", backup.to_str().expect("a path")]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    app.start_again().await;
    let reply = app.client().get("/wsexec/instances").await;
    let instances = reply.json()["instances"].as_array().map(Vec::len);
    assert_eq!(instances, Some(200));
}

/// Whatever page it is: the start is refused, or what needs the page is answered by a plain 503 and
/// all else goes on; and it is found.
#[tokio::test]
async fn a_damaged_page_is_found_told_and_never_answered_from() {
    let (mut app, backup) = stopped().await;
    let whole = fs::read(store(&app)).expect("the store");
    let anchor = app.data().join("audit.anchor");
    let anchored = fs::read(&anchor).expect("the anchor");
    let pages = whole.len() as u64 / PAGE;
    let (mut refused, mut answered, mut unnoticed) = (0, 0, 0);
    let step = effort(pages.div_ceil(4), 1);
    let some = (0..pages).step_by(usize::try_from(step).expect("a few"));
    // And those that an instance is in.
    let needed = whole.chunks(PAGE as usize).zip(0..);
    let needed = needed.filter(|(page, _)| memchr::memmem::find(page, b"10.0.0.77").is_some());
    for page in some.chain(needed.map(|(_, number)| number)) {
        // As it was before the servers of the pages before.
        fs::write(&anchor, &anchored).expect("our own file");
        fs::write(store(&app), &whole).expect("our own file");
        for beside in ["wsexec.db-wal", "wsexec.db-shm"] {
            let _ = fs::remove_file(app.data().join(beside));
        }
        let file = OpenOptions::new().write(true).open(store(&app));
        let file = file.expect("our own file");
        file.write_all_at(&[0xA5; PAGE as usize], page * PAGE)
            .expect("our own file");
        assert_told(&app).await;
        let mut serve = app.command();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        serve
            .arg(app.data())
            .arg("--tls-cert")
            .arg(app.certificate());
        serve.arg("--tls-key").arg(app.path("certs/wsexec.key"));
        let mut process = Process::spawn(&mut serve);
        let begin = Instant::now();
        while process.is_running() && process.stdout().is_empty() {
            assert!(begin.elapsed() < DEADLINE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !process.is_running() {
            let said = process.said().await;
            assert_eq!(said.code, Some(1));
            assert!(said.stderr.contains("is damaged"), "{}", said.stderr);
            assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
            refused += 1;
            continue;
        }
        process.wait_ready().await;
        let login = Some(("admin".to_owned(), app.admin_password().to_owned()));
        let url = format!("https://{}", process.address());
        let client = Client::new(url, &app.certificate(), login);
        let mut failed = false;
        for path in [
            "/wsexec/instances",
            "/wsexec/instances/78",
            "/wsexec/tasks",
            "/wsexec/users/me",
            "/wsexec/audit",
        ] {
            let request = client.request(reqwest::Method::GET, path);
            // A list that has begun can only be broken off.
            let Ok(answer) = request.send().await else {
                failed = true;
                continue;
            };
            let status = answer.status().as_u16();
            let Ok(body) = answer.text().await else {
                failed = true;
                continue;
            };
            assert!([200, 503].contains(&status), "{path}: {status} {body}");
            if status == 503 {
                assert!(
                    body.contains("The store is damaged, or its disk fails to read."),
                    "{body}"
                );
                failed = true;
            }
        }
        assert_eq!(client.get("/healthz").await.status, 200);
        assert!(
            !process.stderr().contains("panicked"),
            "{}",
            process.stderr()
        );
        answered += u32::from(failed);
        unnoticed += u32::from(!failed);
    }
    fs::write(&anchor, &anchored).expect("our own file");
    assert!(answered > 0, "a read found one");
    println!(
        "figure: of the pages of a store that were overwritten, {refused} were seen at the start, {answered} by the \
         first reads, and {unnoticed} by `wsexec check` alone"
    );
    assert_restored(&mut app, &backup).await;
}

#[tokio::test]
async fn a_store_that_was_cut_short_is_refused_and_restored() {
    let (mut app, backup) = stopped().await;
    let length = fs::metadata(store(&app)).expect("the store").len();
    for keep in [length - PAGE, length / 2 + 100, 100] {
        let file = OpenOptions::new().write(true).open(store(&app));
        file.and_then(|it| it.set_len(keep)).expect("our own file");
        assert_told(&app).await;
        let serve = said(&app, &["serve", "--listen", "127.0.0.1:0"]).await;
        assert_eq!(serve.code, Some(1));
        assert!(serve.stderr.contains("is damaged"), "{}", serve.stderr);
    }
    // An empty file is a store to be: what is known of the trail says that there was one.
    fs::write(store(&app), "").expect("our own file");
    let serve = said(&app, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(serve.code, Some(1));
    assert!(serve.stderr.contains("audit trail"), "{}", serve.stderr);
    assert_restored(&mut app, &backup).await;
}

/// A file system that is not the kernel's own, mounted for as long as this lives.
struct Foreign(PathBuf);

impl Foreign {
    fn mount(of: &Path, at: &Path) -> Option<Self> {
        fs::create_dir_all(of).expect("our own directory");
        fs::create_dir_all(at).expect("our own directory");
        let mounted = Command::new("bindfs").arg(of).arg(at).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: bindfs is not installed, or may not mount (/dev/fuse)");
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_data_directory_where_sqlite_can_damage_a_store_is_refused_in_plain_words() {
    let home = TempDir::new().expect("a temporary directory");
    let at = home.path().join("mounted");
    let Some(_mount) = Foreign::mount(&home.path().join("behind"), &at) else {
        return;
    };
    let data = at.join("data");
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["user", "list"],
        &["check"],
    ] {
        let mut command = program(home.path());
        command.args(arguments).arg("--data").arg(&data);
        let said = Process::spawn(&mut command).said().await;
        if arguments == ["check"] {
            let text = said.text();
            assert!(text.contains("FAIL store: "), "{text}");
            assert!(text.contains("is on FUSE"), "{text}");
            continue;
        }
        assert_eq!(said.code, Some(1), "{arguments:?}");
        assert!(said.stderr.contains("is on FUSE"), "{}", said.stderr);
        assert!(said.stderr.contains("--data"), "{}", said.stderr);
        assert!(!data.join("wsexec.db").exists());
    }
}
