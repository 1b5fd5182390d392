//! `wsexec backup` and `wsexec restore`.

use crate::harness::app::{App, Process};
use crate::harness::sshd::{Sshd, user};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What a command on the data directory said, and whether it was content.
async fn say(app: &App, arguments: &[&str]) -> (bool, String) {
    let mut command = app.command();
    command.args(arguments);
    let said = Process::spawn_with(&mut command, b"").said().await;
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
    (said.code == Some(0), text)
}

fn named(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test]
async fn a_copy_made_while_the_server_writes_is_restored_and_nothing_runs_twice() {
    let sshd = Sshd::start();
    let mut app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    app.run(instance, &user(), "echo before").await;
    // It waits for a second person, and so for its turn.
    let new = json!({"ip": "127.0.0.2", "port": sshd.port(), "approval": true});
    let asks = app.client().post("/wsexec/instances", &new).await.json();
    let task = json!({
        "name": "waits", "instance": asks["instance"]["id"], "user": user(), "script": "true",
    });
    let waits = app.post_task(task).await["id"].as_i64().expect("an id");
    let (copies, posting) = (app.path("copies"), app.client());
    fs::create_dir(&copies).unwrap();
    let post = async {
        let task = json!({
            "name": "meanwhile", "instance": instance, "user": user(), "script": "echo meanwhile",
        });
        for _ in 0..40 {
            let reply = posting.post("/wsexec/tasks", &task).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
        }
    };
    let copy = async {
        for n in 0..4 {
            let file = copies.join(n.to_string());
            let (content, said) = say(&app, &["backup", named(&file)]).await;
            assert!(content && said.contains("is a whole copy"), "{said}");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    };
    tokio::join!(post, copy);
    let left = fs::read_dir(&copies).unwrap().count();
    assert_eq!(left, 4, "no draft is left");

    let first = copies.join("0");
    let (content, said) = say(&app, &["backup", named(&first)]).await;
    assert!(
        !content && said.contains("nothing is overwritten"),
        "{said}"
    );
    let (content, said) = say(&app, &["restore", named(&first), "--drill"]).await;
    assert!(content && said.contains("Nothing was changed"), "{said}");
    let (content, said) = say(&app, &["restore", named(&first)]).await;
    assert!(
        !content && said.contains("nothing is overwritten"),
        "{said}"
    );

    app.run(instance, &user(), "echo after").await;
    app.stop().await;
    for entry in fs::read_dir(app.data()).unwrap() {
        let path = entry.unwrap().path();
        if named(&path).contains("wsexec.db") {
            fs::remove_file(path).unwrap();
        }
    }
    let key = app.data().join("audit.key");
    fs::rename(&key, app.path("key")).unwrap();
    let (content, said) = say(&app, &["restore", named(&first)]).await;
    assert!(!content && said.contains("audit.key"), "{said}");
    assert!(!app.data().join("wsexec.db").exists());
    fs::rename(app.path("key"), &key).unwrap();
    let (content, said) = say(&app, &["restore", named(&first)]).await;
    assert!(content && said.contains("before-restore-"), "{said}");
    let store = app.data().join("wsexec.db").metadata().unwrap();
    assert_eq!(store.permissions().mode() & 0o777, 0o600);

    app.start_again().await;
    let (content, said) = say(&app, &["audit", "verify"]).await;
    assert!(content, "{said}");
    let it = app.wait_ended(waits).await;
    assert_eq!(
        (&it["state"], &it["outcome"]),
        (&json!("ABORT"), &json!("lost")),
        "{it:#}"
    );
    assert_eq!(it["start"], serde_json::Value::Null, "{it:#}");
    assert!(
        it["reason"].as_str().unwrap().contains("post it again"),
        "{it:#}"
    );
    let trail = app
        .client()
        .get("/wsexec/audit?action=store.restore")
        .await
        .json();
    assert_eq!(
        trail["audit"].as_array().map(Vec::len),
        Some(1),
        "{trail:#}"
    );
    let task = app.run(instance, &user(), "echo goes on").await;
    assert_eq!(task["stdout"], "goes on\n", "{task:#}");
}

#[tokio::test]
async fn what_is_no_whole_copy_is_not_restored() {
    let mut app = App::start().await;
    for n in 0..50 {
        app.declare(&format!("host-{n}.invalid"), 22).await;
    }
    let good = app.path("good");
    let (content, said) = say(&app, &["backup", named(&good)]).await;
    assert!(content, "{said}");
    app.stop().await;
    let whole = fs::read(&good).unwrap();
    let bad = app.path("bad");
    let cases = [
        ("nothing", Vec::new()),
        ("no store", b"hello\n".repeat(2000)),
        ("the first half", whole[..whole.len() / 2].to_vec()),
        (
            "all but the last page",
            whole[..whole.len() - 4096].to_vec(),
        ),
        ("a page of noise", {
            let mut bytes = whole.clone();
            // The root of the first table.
            bytes[4096..8192].fill(0xa5);
            bytes
        }),
        ("an edited record", {
            let mut bytes = whole.clone();
            let at = bytes.windows(15).rposition(|it| it == b"instance.create");
            bytes[at.expect("a record")..][..8].copy_from_slice(b"identity");
            bytes
        }),
    ];
    for (what, bytes) in cases {
        fs::write(&bad, bytes).unwrap();
        let (content, said) = say(&app, &["restore", named(&bad), "--drill"]).await;
        assert!(
            !content && said.contains("cannot be restored"),
            "{what}: {said}"
        );
    }
    let (content, said) = say(&app, &["restore", named(&good), "--drill"]).await;
    assert!(content, "{said}");
    let (content, said) = say(&app, &["restore", "/nowhere/copy", "--drill"]).await;
    assert!(!content && said.contains("/nowhere/copy"), "{said}");
}
