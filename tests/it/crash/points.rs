//! Kills at named points of the life of a task, and of what is done to a store (`src/failpoint.rs`).

use super::load::Load;
use crate::engine::located;
use crate::harness::app::App;
use crate::harness::effort::effort;
use crate::harness::process::PROGRAM;
use crate::harness::sshd::{Sshd, user};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Names the point where the program is to die.
pub const ARMED: &str = "WSEXEC_FAILPOINT";

/// Those on the way of every task.
const OF_A_TASK: [&str; 16] = [
    "post.before_commit",
    "post.committed",
    "task.claimed",
    "ssh.connected",
    "ssh.logged_in",
    "ssh.command_sent",
    "task.started",
    "task.located",
    "output.stored",
    "task.exited",
    "task.ended",
    "detached.started",
    "detached.located",
    "detached.collected",
    "detached.ended",
    "detached.removed",
];
/// Those of a cancel.
const OF_A_CANCEL: [&str; 2] = ["cancel.asked", "cancel.confirmed"];
/// Those of a store that is copied, here, or brought up to date (`cli/upgrades.rs`).
const OF_A_STORE: [&str; 3] = ["upgrade.copied", "upgrade.before_commit", "backup.copied"];

/// A server that dies at a point, by that and nothing else, and starts again without it.
async fn die_at(app: &mut App, point: &str, passage: u32, load: impl AsyncFnOnce(&App)) -> Instant {
    app.kill9().await;
    app.set_env(ARMED, Some(&format!("{point}:{passage}")));
    app.start_again().await;
    load(app).await;
    let status = app.wait_exit().await;
    let killed = Some(Signal::KILL.as_raw());
    assert_eq!(status.signal(), killed, "at {point}:{passage}: {status}");
    app.set_env(ARMED, None);
    let started = Instant::now();
    app.start_again().await;
    started
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_at_any_point_of_a_task_loses_nothing_and_runs_nothing_twice() {
    let passages = effort(vec![2], (1..=12).collect());
    let sshd = Sshd::start();
    let config = "[engine]\nmax_per_instance = 6\n[log]\nlevel = \"warn\"";
    let builder = App::builder().config(config).identity(sshd.identity());
    let mut app = builder.start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    for point in OF_A_TASK {
        for passage in &passages {
            let mut load = None;
            let started = die_at(&mut app, point, *passage, async |app| {
                load = Some(Load::start(app, &sshd, instance, 8));
            })
            .await;
            let load = load.expect("a load");
            load.moved(&app);
            let figures = load.settle(&app, started).await;
            println!("figure: killed at {point}:{passage}: {figures}");
            figures.assert_right();
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_over_a_cancel_ends_the_script_and_says_so() {
    let sshd = Sshd::start();
    let builder = App::builder().config("[engine]\ncancel_grace = 1");
    let mut app = builder.identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    for mode in ["attached", "detached"] {
        for point in OF_A_CANCEL {
            let ran = sshd.dir().join(format!("{mode}.{point}"));
            let script = format!("echo $$ >> {}; exec sleep 600", ran.display());
            let task = json!({
                "name": point, "instance": instance, "user": user(), "script": script, "mode": mode,
            });
            let mut id = 0;
            die_at(&mut app, point, 1, async |app| {
                id = app.post_task(task).await["id"].as_i64().expect("an id");
                // From when its process is on record the next server can end it.
                located(app, id).await;
                let path = format!("/wsexec/tasks/{id}");
                let cancel = app.client().request(reqwest::Method::PUT, &path);
                let cancel = cancel.json(&json!({"state": "ABORT"})).send().await;
                assert_eq!(cancel.is_ok(), point == "cancel.confirmed", "{cancel:?}");
            })
            .await;
            let task = app.wait_ended(id).await;
            let ran = fs::read_to_string(ran).expect("it ran");
            assert_eq!(ran.lines().count(), 1, "{task:#}");
            // One that has ended and that nobody has waited for has no command line any more.
            let line = fs::read(format!("/proc/{}/cmdline", ran.trim()));
            let gone = line.unwrap_or_default().is_empty();
            println!(
                "figure: killed at {point}, {mode}: {}, its script {}",
                task["outcome"],
                if gone { "is gone" } else { "goes on" }
            );
            assert_eq!(task["outcome"], "cancelled", "{task:#}");
            assert!(gone, "{task:#}");
        }
    }
}

#[tokio::test]
async fn a_backup_that_dies_before_its_copy_has_its_name_is_made_again() {
    let app = App::start().await;
    let copy = app.path("copy.db");
    let back_up = |app: &App, point: Option<&str>| {
        let mut command = app.command();
        command
            .args(["backup", "--data"])
            .arg(app.data())
            .arg(&copy);
        command.envs(point.map(|point| (ARMED, point)));
        command.output().expect("it runs")
    };
    let died = back_up(&app, Some("backup.copied")).status;
    assert_eq!(died.signal(), Some(Signal::KILL.as_raw()));
    assert!(!copy.exists(), "no half copy has the name of a whole one");
    assert!(back_up(&app, None).status.success());
}

/// Every name that the source has.
fn in_the_source() -> BTreeSet<String> {
    fn visit(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).expect("src can be read").flatten() {
            if entry.path().is_dir() {
                visit(&entry.path(), found);
            } else {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let after = text.split("failpoint::pass(\"").skip(1);
                found.extend(after.filter_map(|it| Some(it.split_once('"')?.0.to_owned())));
            }
        }
    }
    let mut found = BTreeSet::new();
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found
}

#[test]
fn each_fail_point_has_its_kill() {
    let tested = [&OF_A_TASK[..], &OF_A_CANCEL, &OF_A_STORE].concat();
    let tested: BTreeSet<String> = tested.into_iter().map(str::to_owned).collect();
    assert_eq!(in_the_source(), tested);
}

#[test]
fn a_release_build_has_no_fail_points() {
    let holds = |file: &Path, text: &str| {
        let bytes = fs::read(file).expect("a build");
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    };
    assert!(holds(Path::new(PROGRAM), ARMED), "the tests' own build has");
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("small.rs");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/failpoint.rs");
    let text = format!(
        "#[path = {module:?}] mod failpoint;\npub fn f() {{ failpoint::pass(\"a point\") }}\nfn main() {{ f() }}"
    );
    fs::write(&source, text).expect("a program");
    let program = directory.path().join("small");
    // As Cargo's profile for a release: with optimisation, and so without debug_assertions.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "-C", "opt-level=3", "-o"])
        .args([&program, &source])
        .output();
    let built = built.expect("rustc runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for text in [ARMED, "a point"] {
        assert!(!holds(&program, text), "{text}");
    }
}
