//! Twelve secrets that the program is given or makes; afterwards none of them stands anywhere that
//! somebody else reads, as it is, in hexadecimal or in base64.

use crate::harness::app::App;
use crate::harness::planted::{self, Planted};
use crate::harness::sshd::{Kind, Sshd, keygen};
use crate::ui::visitor::Visitor;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn random() -> String {
    wsexec::domain::random_token().expose().to_owned()
}

/// Looks at the arguments and the environment of every process that can be read, but for our own.
fn look_at_processes(secrets: &[Planted]) {
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_err() {
            continue;
        }
        for name in ["cmdline", "environ"] {
            // It may have ended meanwhile.
            let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
            planted::assert_none(secrets, &format!("{name} of {pid}"), &bytes);
        }
    }
}

#[tokio::test]
async fn none_of_twelve_secrets_stands_in_logs_files_answers_pages_or_processes() {
    let sshd = Sshd::start();
    let home = tempfile::tempdir().expect("a directory");
    let master = home.path().join("master.key");
    let master_key = wsexec::vault::generate().expose().to_owned();
    fs::write(&master, &master_key).expect("a key file");
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).expect("its mode");
    let mut app = App::builder()
        .identity(sshd.identity())
        .config(&format!(
            "[secrets]\nmaster_key_file = {:?}",
            master.display().to_string()
        ))
        .start()
        .await;
    let mut secrets = vec![
        Planted::new("the master key", &master_key),
        Planted::new("the first password", app.admin_password()),
    ];
    let audit_key = fs::read_to_string(app.data().join("audit.key")).expect("the audit key");
    secrets.push(Planted::new("the audit key", audit_key.trim_end()));

    // What people and programs log in with.
    let (wrong, password, stranger) = (random(), random(), random());
    let user = json!({"name": "ann", "role": "operator", "password": password});
    assert_eq!(app.client().post("/wsexec/users", &user).await.status, 201);
    assert_eq!(
        app.as_user("ann", &wrong).get("/wsexec/tasks").await.status,
        401
    );
    assert_eq!(
        app.as_user(&stranger, "x")
            .get("/wsexec/tasks")
            .await
            .status,
        401
    );
    let ann = app.as_user("ann", &password);
    let new = json!({"name": "ci", "role": "viewer", "expires_in": 3600});
    let token = ann.post("/wsexec/tokens", &new).await.json()["token"]["token"].clone();
    let token = token.as_str().expect("its text, once").to_owned();
    let bearer = format!("Bearer {token}");
    let robot = app.with_header("Authorization", &bearer);
    assert_eq!(robot.get("/wsexec/tasks").await.status, 200);
    let mut visitor = Visitor::of(&app);
    assert_eq!(visitor.log_in("ann", &password, "/").await.status, 303);
    let cookie = visitor
        .cookie()
        .split_once('=')
        .expect("NAME=VALUE")
        .1
        .to_owned();
    for (name, secret) in [
        ("a wrong password", &wrong),
        ("a password typed as a name", &stranger),
        ("a password", &password),
        ("a token", &token),
        ("a session", &cookie),
    ] {
        secrets.push(Planted::new(name, secret));
    }

    // What the server keeps for machines.
    let (passphrase, become_password, value) = (random(), random(), random());
    let key = home.path().join("key");
    keygen(&key, Kind::Ed25519, "RFC4716", &passphrase);
    sshd.authorize(&key);
    let key = fs::read_to_string(&key).expect("a private key");
    for new in [
        json!({"name": "key", "kind": "ssh_key", "value": key, "passphrase": passphrase}),
        json!({"name": "sudo", "kind": "become_password", "value": become_password}),
        json!({"name": "db", "kind": "secret", "value": value}),
    ] {
        let reply = app.client().post("/wsexec/identities", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let body = key.lines().nth(2).expect("a line of the key");
    for (name, secret) in [
        ("a private key", body),
        ("a passphrase", &passphrase),
        ("a become password", &become_password),
        ("a script's secret", &value),
    ] {
        secrets.push(Planted::new(name, secret));
    }
    assert_eq!(secrets.len(), 12);

    // A script that does its worst with what it gets, while its processes are looked at.
    let new = json!({"ip": "127.0.0.1", "port": sshd.port(), "identity": "key"});
    let made = app.client().post("/wsexec/instances", &new).await.json();
    let script = "s=$(cat \"$DB_FILE\"); printf '%s\\n' \"$s\"; printf %s \"$s\" | base64 -w0
        printf %s \"$s\" | od -An -v -tx1 | tr -d ' \\n' >&2; sleep 2";
    let task = app
        .post_task(json!({
            "name": "worst", "instance": made["instance"]["id"], "user": sshd.user(),
            "script": script, "secrets": {"DB": "db"},
        }))
        .await;
    let id = task["id"].as_i64().expect("an id");
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(0))
        .await;
    look_at_processes(&secrets);
    let task = app.wait_ended(id).await;
    assert_eq!(task["rc"], 0, "{task:#}");
    assert!(task["masked"].as_u64() >= Some(3), "{task:#}");

    // Everything that is answered to who may see all.
    let admin = app.client();
    for path in [
        "/wsexec/tasks".to_owned(),
        format!("/wsexec/tasks/{id}"),
        format!("/wsexec/tasks/{id}/output"),
        format!("/wsexec/tasks/{id}/stderr"),
        format!("/wsexec/tasks/{id}/events"),
        "/wsexec/instances".into(),
        "/wsexec/identities".into(),
        "/wsexec/users".into(),
        "/wsexec/tokens?user=2".into(),
        "/wsexec/sessions?user=2".into(),
        "/wsexec/audit".into(),
        "/openapi.json".into(),
    ] {
        let reply = admin.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        planted::assert_none(&secrets, &path, &reply.body);
    }
    let boss = Visitor::logged_in(&app).await;
    for path in [
        "/",
        "/tasks",
        &format!("/tasks/{id}"),
        "/instances",
        "/audit",
        "/users",
        "/account",
    ] {
        planted::assert_none(&secrets, path, boss.read(path).await.as_bytes());
    }
    app.stop().await;
    planted::assert_none(&secrets, "the log", app.stderr().as_bytes());
    planted::assert_none_below(&secrets, &app.data(), &["admin-password", "audit.key"]);
}
