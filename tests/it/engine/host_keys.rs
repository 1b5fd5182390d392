use super::on;
use crate::harness::app::App;
use crate::harness::door::Door;
use crate::harness::sshd::{Kind, Sshd, fingerprint, user};
use serde_json::{Value, json};

#[tokio::test]
async fn the_first_key_is_recorded_and_from_then_on_it_alone_is_right() {
    let first = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    let other = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    other.authorize(&first.identity());
    let (app, _) = on(&first, App::builder()).await;
    let door = Door::to(first.address()).await;
    let instance = app.declare("127.0.0.1", door.port()).await;
    let path = format!("/wsexec/instances/{instance}");
    assert_eq!(host_key(&app, &path).await["state"], "unknown");
    assert_eq!(app.run(instance, &user(), "true").await["state"], "DONE");
    let recorded = host_key(&app, &path).await;
    let right = fingerprint(&first.host_key(Kind::Ed25519));
    assert_eq!(
        (&recorded["state"], &recorded["fingerprint"]),
        (&json!("trusted"), &json!(right))
    );

    // Somebody else answers at the same address.
    door.lead_to(other.address());
    let marker = other.dir().join("marker");
    let task = app
        .run(instance, &user(), &format!("touch {}", marker.display()))
        .await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("host_key_refused"))
    );
    let shown = fingerprint(&other.host_key(Kind::Ed25519));
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains(&right) && reason.contains(&shown),
        "{reason}"
    );
    assert!(!marker.exists());
    let refused = host_key(&app, &path).await;
    assert_eq!(
        (&refused["fingerprint"], &refused["type"]),
        (&recorded["fingerprint"], &recorded["type"]),
        "a refused key changes no record"
    );
    assert_eq!(refused["state"], "changed");

    // A new port is another machine.
    let reply = app
        .client()
        .put(&path, &json!({"port": other.port()}))
        .await;
    assert_eq!(reply.json()["instance"]["host_key"]["state"], "unknown");
    assert_eq!(app.run(instance, &user(), "true").await["state"], "DONE");
}

#[tokio::test]
async fn an_instance_stays_where_it_is_while_a_script_runs_there() {
    let sshd = Sshd::start();
    let other = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo on; until test -e {}; do sleep 0.05; done",
        gate.display()
    );
    let task = json!({"name": "n", "instance": instance, "user": user(), "script": script});
    let id = app.post_task(task).await["id"].as_i64().unwrap();
    app.wait_until(id, |task| task["stdout"] == "on\n").await;
    let path = format!("/wsexec/instances/{instance}");
    let away = json!({"port": other.port()});
    let refused = app.client().put(&path, &away).await;
    assert_eq!(refused.status, 409, "{}", refused.json());
    let tagged = json!({"port": sshd.port(), "tag": "t"});
    assert_eq!(app.client().put(&path, &tagged).await.status, 200);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(app.wait_ended(id).await["state"], "DONE");
    assert_eq!(app.client().put(&path, &away).await.status, 200);
}

#[tokio::test]
async fn a_key_is_not_recorded_when_the_login_fails() {
    let sshd = Sshd::start();
    let stranger = Sshd::start();
    let app = App::builder().identity(stranger.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app.run(instance, &user(), "true").await;
    assert_eq!(task["outcome"], "auth_failed");
    assert!(
        task["reason"].as_str().unwrap().contains("SHA256:"),
        "{}",
        task["reason"]
    );
    let path = format!("/wsexec/instances/{instance}");
    assert_eq!(host_key(&app, &path).await["state"], "unknown");
}

async fn host_key(app: &App, path: &str) -> Value {
    app.client().get(path).await.json()["instance"]["host_key"].clone()
}
