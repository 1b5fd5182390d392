//! What is kept by name, as runs use it on a real machine: keys to log in with, passwords for sudo,
//! secrets of scripts.

use crate::harness::app::App;
use crate::harness::sshd::{Sshd, fingerprint, keygen, public_key};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const VALUE: &str = "correct 'horse' \"battery\" $staple \\ é";

/// An app with a master key, where this secret is kept as `prod-db`.
async fn with_secret(sshd: &Sshd, value: &str) -> (App, i64) {
    let app = app(sshd).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    identity(
        &app,
        json!({"name": "prod-db", "kind": "secret", "value": value}),
    )
    .await;
    (app, instance)
}

async fn app(sshd: &Sshd) -> App {
    let key = wsexec::vault::generate();
    let builder = App::builder().identity(sshd.identity());
    builder.env("WSEXEC_MASTER_KEY", key.expose()).start().await
}

pub async fn identity(app: &App, new: Value) -> Value {
    let reply = app.client().post("/wsexec/identities", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["identity"].clone()
}

async fn run(app: &App, sshd: &Sshd, instance: i64, script: &str, how: Value) -> Value {
    let mut task = json!({
        "name": "test", "instance": instance, "user": sshd.user(), "script": script,
        "secrets": {"DB_PASSWORD": "prod-db"},
    });
    for (member, value) in how.as_object().expect("an object") {
        task[member] = value.clone();
    }
    let id = app.post_task(task).await["id"].as_i64().expect("an id");
    app.wait_ended(id).await
}

/// Whether a text stands in the arguments or the environment of any process that can be read.
fn shown_by_a_process(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = entries.filter(|it| it.file_name().to_string_lossy().parse::<u32>().is_ok());
    pids.flat_map(|pid| ["cmdline", "environ"].map(|name| pid.path().join(name)))
        .filter(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(text.len()).any(|it| it == text.as_bytes())
        })
        .map(|path| path.display().to_string())
        .collect()
}

/// Files below a directory that hold a text.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a file");
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), text));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(text.len()).any(|it| it == text.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn a_script_finds_its_secret_in_a_file_that_has_no_name_however_it_runs() {
    let sshd = Sshd::start();
    let (app, instance) = with_secret(&sshd, VALUE).await;
    // Read twice, and compared there: what it writes is masked.
    let script = "cat \"$DB_PASSWORD_FILE\" | cksum; cat \"$DB_PASSWORD_FILE\" | cksum
        wc -c < \"$DB_PASSWORD_FILE\"; ls -l \"/proc/$$/fd/${DB_PASSWORD_FILE##*/}\" | grep -c deleted";
    let python = "import os, hashlib\nfor n in range(2):\n print(len(open(os.environ['DB_PASSWORD_FILE'], 'rb').read()))\n";
    for mode in ["attached", "detached"] {
        let task = run(&app, &sshd, instance, script, json!({"mode": mode})).await;
        assert_eq!(task["rc"], 0, "{task:#}");
        let out = task["stdout"].as_str().unwrap();
        let lines: Vec<_> = out.lines().map(str::trim).collect();
        assert_eq!(lines[0], lines[1], "{task:#}");
        assert_eq!(
            lines[2..],
            [VALUE.len().to_string(), "1".into()],
            "{task:#}"
        );
        let how = json!({"mode": mode, "interpreter": "python3"});
        let task = run(&app, &sshd, instance, python, how).await;
        let length = VALUE.len();
        assert_eq!(task["stdout"], format!("{length}\n{length}\n"), "{task:#}");
    }
}

#[tokio::test]
async fn nothing_shows_a_secret_while_its_script_runs_and_nothing_is_left_of_it() {
    let sshd = Sshd::start();
    let value = format!("planted-{}", wsexec::domain::random_token().expose());
    let (app, instance) = with_secret(&sshd, &value).await;
    for mode in ["attached", "detached"] {
        let task = json!({
            "name": "test", "instance": instance, "user": sshd.user(), "mode": mode,
            "script": "exec 1>&2; echo begun; sleep 600", "secrets": {"DB_PASSWORD": "prod-db"},
        });
        let task = app.post_task(task).await;
        let id = task["id"].as_i64().unwrap();
        app.wait_until(id, |task| task["stderr"] == "begun\n").await;
        assert_eq!(shown_by_a_process(&value), Vec::<String>::new(), "{mode}");
        let home = std::path::PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        for dir in [
            sshd.dir(),
            app.data().as_path(),
            Path::new("/dev/shm"),
            &home.join(".local"),
        ] {
            assert_eq!(files_with(dir, &value), Vec::<String>::new(), "{mode}");
        }
        super::cancel(&app, id).await;
        app.wait_ended(id).await;
    }
    let left = fs::read_dir("/dev/shm").unwrap().flatten();
    let left = left.filter(|it| it.file_name().to_string_lossy().starts_with("wsexec-"));
    // Those of other tests are empty and live for an instant.
    for entry in left {
        assert!(files_with(&entry.path(), &value).is_empty());
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there_or_not_for_that_user_is_refused_before_anything_runs() {
    let sshd = Sshd::start();
    let (app, instance) = with_secret(&sshd, VALUE).await;
    identity(
        &app,
        json!({"name": "narrow", "kind": "secret", "value": VALUE, "scope": ["nobody@*"]}),
    )
    .await;
    let post = async |name: &str| {
        let task = json!({
            "name": "test", "instance": instance, "user": sshd.user(), "script": "true",
            "secrets": {"X": name},
        });
        app.client().post("/wsexec/tasks", &task).await.status
    };
    assert_eq!(post("none").await, 400);
    assert_eq!(post("narrow").await, 403);
    assert_eq!(post("prod-db").await, 201);
}

#[tokio::test]
async fn a_secret_for_certain_machines_is_told_to_no_other() {
    let sshd = Sshd::start();
    let (app, instance) = with_secret(&sshd, VALUE).await;
    let other = format!("SHA256:{}", "A".repeat(43));
    identity(
        &app,
        json!({"name": "bound", "kind": "secret", "value": VALUE, "host_keys": [other]}),
    )
    .await;
    for mode in ["attached", "detached"] {
        let how = json!({"mode": mode, "secrets": {"X": "bound"}});
        let task = run(&app, &sshd, instance, "echo ran", how).await;
        assert_eq!(task["outcome"], "start_failed", "{task:#}");
        assert_eq!(task["stdout"], "");
    }
}

#[tokio::test]
async fn an_instance_is_logged_in_to_with_its_identity_alone() {
    let sshd = Sshd::start();
    let app = app(&sshd).await;
    let made = identity(&app, json!({"name": "deploy", "kind": "ssh_key"})).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let path = format!("/wsexec/instances/{instance}");
    let reply = app
        .client()
        .put(&path, &json!({"identity": "deploy"}))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // The server's own key would be let in; this one is not known there yet.
    let task = app.run(instance, &sshd.user(), "true").await;
    assert_eq!(task["outcome"], "auth_failed", "{task:#}");
    let keys = sshd.dir().join("authorized_keys");
    let before = fs::read_to_string(&keys).unwrap();
    fs::write(&keys, format!("{}\n", made["public_key"].as_str().unwrap())).unwrap();
    let task = app.run(instance, &sshd.user(), "echo in").await;
    assert_eq!(task["stdout"], "in\n", "{task:#}");
    // Without it, the server's own key is offered again: no connection is shared between the two.
    app.client().put(&path, &json!({"identity": null})).await;
    let task = app.run(instance, &sshd.user(), "true").await;
    assert_eq!(task["outcome"], "auth_failed", "{task:#}");
    fs::write(&keys, before).unwrap();
    let uses = app
        .client()
        .get("/wsexec/audit?action=identity.use")
        .await
        .json();
    let uses = uses["audit"]
        .as_array()
        .or(uses["records"].as_array())
        .cloned();
    assert_eq!(uses.expect("the trail").len(), 2);
}

#[tokio::test]
async fn an_encrypted_key_is_uploaded_with_its_passphrase_and_opens() {
    let sshd = Sshd::start();
    let app = app(&sshd).await;
    let file = sshd.dir().join("encrypted");
    keygen(
        &file,
        crate::harness::sshd::Kind::Ed25519,
        "RFC4716",
        "a long passphrase",
    );
    let key = fs::read_to_string(&file).unwrap();
    let new = |passphrase: &str| json!({"name": "k", "kind": "ssh_key", "value": key, "passphrase": passphrase});
    let refused = app
        .client()
        .post("/wsexec/identities", &new("another passphrase"))
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let made = identity(&app, new("a long passphrase")).await;
    assert_eq!(made["fingerprint"], fingerprint(&file));
    let line = made["public_key"].as_str().unwrap();
    assert!(line.starts_with(&public_key(&file)), "{line}");
    fs::write(sshd.dir().join("authorized_keys"), format!("{line}\n")).unwrap();
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let path = format!("/wsexec/instances/{instance}");
    app.client().put(&path, &json!({"identity": "k"})).await;
    let task = app.run(instance, &sshd.user(), "echo in").await;
    assert_eq!(task["stdout"], "in\n", "{task:#}");
}

#[tokio::test]
async fn a_jump_is_logged_in_to_with_an_identity_of_its_own_and_each_use_is_on_record() {
    let (jump, target) = (Sshd::start(), Sshd::start());
    let app = app(&target).await;
    let made = identity(&app, json!({"name": "gate", "kind": "ssh_key"})).await;
    // The jump lets in that key alone, the target the server's own alone.
    let line = format!("{}\n", made["public_key"].as_str().unwrap());
    fs::write(jump.dir().join("authorized_keys"), line).unwrap();
    let through = async |jump_instance: Value| {
        let new = json!({"ip": "127.0.0.1", "port": target.port(), "jump": jump_instance});
        let reply = app.client().post("/wsexec/instances", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["instance"]["id"].as_i64().expect("an id")
    };
    let first = app.declare("127.0.0.1", jump.port()).await;
    let last = through(json!(first)).await;
    let task = app.run(last, &target.user(), "echo there").await;
    assert_eq!(task["outcome"], "auth_failed", "{task:#}");
    assert!(task["reason"].as_str().unwrap().contains("The jump"));

    let path = format!("/wsexec/instances/{first}");
    let named = app.client().put(&path, &json!({"identity": "gate"})).await;
    assert_eq!(named.status, 200, "{}", named.text());
    for mode in ["attached", "detached"] {
        let task = json!({
            "name": "test", "instance": last, "user": target.user(), "script": "echo there",
            "mode": mode,
        });
        let id = app.post_task(task).await["id"].as_i64().expect("an id");
        let task = app.wait_ended(id).await;
        assert_eq!(task["stdout"], "there\n", "{task:#}");
        let used = format!(
            "/wsexec/audit?action=identity.use&object=identity/{}",
            made["id"]
        );
        let uses = app.client().get(&used).await.json();
        let uses = uses["audit"].as_array().expect("the trail");
        let ours: Vec<_> = uses
            .iter()
            .filter(|it| it["detail"]["task"] == id)
            .collect();
        assert_eq!(ours.len(), 1, "{mode}: {uses:#?}");
        let detail = &ours[0]["detail"];
        assert_eq!(
            (&detail["name"], &detail["kind"]),
            (&json!("gate"), &json!("ssh_key"))
        );
        // It is the jump that it was used for.
        assert_eq!(detail["instance"], first, "{detail:#}");
        assert_eq!(detail["user"], target.user(), "{detail:#}");
    }
}

#[tokio::test]
async fn a_secret_is_read_again_and_again_in_every_posix_shell() {
    let sshd = Sshd::start();
    let (app, instance) = with_secret(&sshd, VALUE).await;
    let script = "f=$DB_PASSWORD_FILE\nwc -c < \"$f\"; wc -c < \"$f\"; ( cat \"$f\" | wc -c )\n";
    let length = VALUE.len();
    for shell in ["busybox sh", "mksh", "ksh93", "dash", "bash"] {
        for mode in ["attached", "detached"] {
            let how = json!({"mode": mode, "interpreter": shell});
            let task = run(&app, &sshd, instance, script, how).await;
            let expected = format!("{length}\n{length}\n{length}\n");
            assert_eq!(task["stdout"], expected, "{shell} {mode}: {task:#}");
        }
    }
    for shell in ["/bin/mksh", "/bin/ksh93"] {
        let sshd = Sshd::builder().login_shell(shell).start();
        let (app, instance) = with_secret(&sshd, VALUE).await;
        let task = run(&app, &sshd, instance, script, json!({})).await;
        assert_eq!(
            task["stdout"],
            format!("{length}\n{length}\n{length}\n"),
            "{shell}: {task:#}"
        );
    }
}
